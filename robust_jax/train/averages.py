import jax
import jax.numpy as jnp


def ema(decay, warm_up=True):
    def average(avg, variables, step):
        t = step + 1
        d = jnp.minimum(decay, (1 + t) / (10 + t))
        return jax.tree.map(lambda a, v: d * a + (1 - d) * v, avg, variables)

    return average


def swa(first_step, every=1):
    def average(avg, variables, step):
        return variables

    return average


def bank(decays):
    return tuple((f"ema_{d:g}", ema(d)) for d in decays)
