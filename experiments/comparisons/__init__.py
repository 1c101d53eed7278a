"""Attacks, training and speed beside other libraries, and beside each other."""
