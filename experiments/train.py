"""How robust does a recipe make a net? Trains one and writes a checkpoint.

The command `robust-jax train`; from a checkout,
`python -m experiments.train`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("train")
