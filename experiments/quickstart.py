"""What do adversarial examples do to a net, and what does adversarial training change?

The command `robust-jax quickstart`; from a checkout,
`python -m experiments.quickstart`.
"""

from robust_jax.commands import cli

if __name__ == "__main__":
    cli.run("quickstart")
