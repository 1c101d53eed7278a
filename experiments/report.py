"""How do runs compare, and are their numbers to be believed? A site of records.

The command `robust-jax report`; from a checkout, `python -m experiments.report`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("report")
