"""Which attacks are there, what do they need and what do they cost?

The command `robust-jax list-attacks`; from a checkout,
`python -m experiments.list_attacks`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("list-attacks")
