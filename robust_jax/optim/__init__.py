"""Step rules of attacks: optax chains that know the threat."""

from robust_jax.optim.rules import Rule, adam, momentum, nesterov, steepest

__all__ = ["Rule", "adam", "momentum", "nesterov", "steepest"]
