"""Which official files become which data set? Prepares one for `robust_jax.datasets`.

The command `robust-jax prepare-data`; from a checkout,
`python -m experiments.prepare_data`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("prepare-data")
