"""Trials of the library: broken nets for its audit, and faults while it works."""
