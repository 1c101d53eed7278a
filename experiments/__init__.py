"""Command-line experiments: one question each, run as `python -m experiments.NAME`."""
