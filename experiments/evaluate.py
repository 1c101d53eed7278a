"""How robust is a model? Attacks it by a plan, checks and audits what was found.

The command `robust-jax evaluate`; from a checkout,
`python -m experiments.evaluate`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("evaluate")
