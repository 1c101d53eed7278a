"""Attacks that only ask: for scores, or for the label alone."""
