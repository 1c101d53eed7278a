"""How does a net fare under noise, blur, weather and compression?

The command `robust-jax corruptions`; from a checkout,
`python -m experiments.corruptions`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("corruptions")
