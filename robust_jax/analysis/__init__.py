"""What nets have learnt: the studies of the papers on their intriguing properties."""

from robust_jax.analysis.alignment import Alignment, alignment, margin_gradient
from robust_jax.analysis.autoencoder import Autoencoder, sparse_autoencoder
from robust_jax.analysis.calibration import calibration_error
from robust_jax.analysis.clever import clever
from robust_jax.analysis.concepts import stroke_concepts
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
from robust_jax.analysis.dissection import (
    Dissection,
    dissect,
    random_rotation,
    rotation_power,
)
from robust_jax.analysis.exact import nearest_of_affine
from robust_jax.analysis.factors import (
    Varied,
    explained,
    explained_by_all,
    rotated,
    shifted,
    thickened,
)
from robust_jax.analysis.layers import (
    LayerNorm,
    layer_inputs,
    layer_names,
    layer_norms,
    layer_outputs,
    product_bound,
)
from robust_jax.analysis.similarity import cka
from robust_jax.analysis.spectral import (
    conv_norm,
    dense_norm,
    jacobian_norm,
    operator_norm,
    pool_norm,
    scaling_norm,
)
from robust_jax.analysis.subspace import aligned_directions
from robust_jax.analysis.transfer import (
    CraftFn,
    PredictFn,
    Transfer,
    amplified,
    distortion,
    noise_of_size,
    noisy,
    predictor,
    transfer_matrix,
)

__all__ = [
    "Alignment",
    "Autoencoder",
    "Comparison",
    "CraftFn",
    "Dissection",
    "LayerNorm",
    "PredictFn",
    "TopInputs",
    "Transfer",
    "Varied",
    "aligned_directions",
    "alignment",
    "amplified",
    "calibration_error",
    "cka",
    "clever",
    "compare",
    "conv_norm",
    "dense_norm",
    "dissect",
    "distortion",
    "entropy",
    "explained",
    "explained_by_all",
    "features",
    "jacobian_norm",
    "layer_inputs",
    "layer_names",
    "layer_norms",
    "layer_outputs",
    "margin_gradient",
    "nearest_of_affine",
    "noise_of_size",
    "noisy",
    "operator_norm",
    "pool_norm",
    "predictor",
    "product_bound",
    "purity",
    "random_directions",
    "random_rotation",
    "rotated",
    "rotation_power",
    "scaling_norm",
    "shifted",
    "sparse_autoencoder",
    "stroke_concepts",
    "thickened",
    "top_inputs",
    "transfer_matrix",
]
