"""What many attacks share: each loop is written once, and an attack says its move."""
