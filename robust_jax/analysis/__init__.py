"""What nets have learnt: the studies of the papers on their intriguing properties."""

from robust_jax.analysis.directions import (
    Comparison,
    TopInputs,
    compare,
    entropy,
    features,
    purity,
    random_directions,
    top_inputs,
)
from robust_jax.analysis.spectral import (
    conv_norm,
    dense_norm,
    jacobian_norm,
    operator_norm,
    pool_norm,
    scaling_norm,
)

__all__ = [
    "Comparison",
    "TopInputs",
    "compare",
    "conv_norm",
    "dense_norm",
    "entropy",
    "features",
    "jacobian_norm",
    "operator_norm",
    "pool_norm",
    "purity",
    "random_directions",
    "scaling_norm",
    "top_inputs",
]
