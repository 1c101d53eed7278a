"""The commands: what `robust-jax NAME` and `python -m experiments.NAME` run."""
