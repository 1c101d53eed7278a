"""What does one attack do to a model, at one radius or along a curve of them?

The command `robust-jax attack`; from a checkout,
`python -m experiments.attack`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("attack")
