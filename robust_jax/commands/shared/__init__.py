"""What the commands share: flags, errors, records, attacks by name."""
