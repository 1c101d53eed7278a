"""How many queries does a black-box attack need? Robust accuracy against queries.

The command `robust-jax queries`; from a checkout,
`python -m experiments.queries`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("queries")
