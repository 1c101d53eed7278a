"""What nets have learnt: the studies of the papers on their intriguing properties."""

from robust_jax.analysis.clever import clever
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
from robust_jax.analysis.layers import (
    LayerNorm,
    layer_inputs,
    layer_names,
    layer_norms,
    layer_outputs,
    product_bound,
)
from robust_jax.analysis.spectral import (
    conv_norm,
    dense_norm,
    jacobian_norm,
    operator_norm,
    pool_norm,
    scaling_norm,
)
from robust_jax.analysis.transfer import (
    Transfer,
    amplified,
    distortion,
    noisy,
    predictor,
    transfer_matrix,
)

__all__ = [
    "Comparison",
    "LayerNorm",
    "TopInputs",
    "Transfer",
    "amplified",
    "clever",
    "compare",
    "conv_norm",
    "dense_norm",
    "distortion",
    "entropy",
    "features",
    "jacobian_norm",
    "layer_inputs",
    "layer_names",
    "layer_norms",
    "layer_outputs",
    "noisy",
    "operator_norm",
    "pool_norm",
    "predictor",
    "product_bound",
    "purity",
    "random_directions",
    "scaling_norm",
    "top_inputs",
    "transfer_matrix",
]
