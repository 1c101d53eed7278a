"""What nets have learnt: the studies of the papers on their intriguing properties."""

from robust_jax.core import extras

extras.needed("flax", "flax", "robust_jax.analysis")

from robust_jax.analysis.alignment import Alignment, alignment, margin_gradient
from robust_jax.analysis.autoencoder import Autoencoder, sparse_autoencoder
from robust_jax.analysis.backward import RULES, project, strongest, with_rule
from robust_jax.analysis.calibration import calibration_error
from robust_jax.analysis.clever import clever
from robust_jax.analysis.concept_vectors import Sensitivity, concept_vector, tcav
from robust_jax.analysis.concepts import stroke_concepts
from robust_jax.analysis.correspondence import correspondence
from robust_jax.analysis.dictionary import (
    Dictionary,
    Fit,
    dictionary_fit,
    max_cosines,
    train_dictionary,
)
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
from robust_jax.analysis.frames import frame_moves, load_frames, turning_strokes
from robust_jax.analysis.gratings import FREQUENCIES, Gratings, grating, grating_test
from robust_jax.analysis.invariance import (
    Firing,
    Invariance,
    firing,
    invariance,
    network_invariance,
)
from robust_jax.analysis.layers import (
    LayerNorm,
    from_layer,
    layer_inputs,
    layer_names,
    layer_norms,
    layer_outputs,
    product_bound,
)
from robust_jax.analysis.maximisation import Search, maximise
from robust_jax.analysis.moves import rotate, scale, translate
from robust_jax.analysis.occlusion import Occlusion, ink_under, occlude
from robust_jax.analysis.receptive import Box, Field, Window, receptive_field
from robust_jax.analysis.regions import (
    Regions,
    crops,
    nms,
    overlap,
    propose,
    rank_units,
)
from robust_jax.analysis.saliency import (
    grad_cam,
    integrated_gradients,
    occlusion,
    smooth_grad,
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
    "FREQUENCIES",
    "RULES",
    "Alignment",
    "Autoencoder",
    "Box",
    "Comparison",
    "CraftFn",
    "Dictionary",
    "Dissection",
    "Field",
    "Firing",
    "Fit",
    "Gratings",
    "Invariance",
    "LayerNorm",
    "Occlusion",
    "PredictFn",
    "Regions",
    "Search",
    "Sensitivity",
    "TopInputs",
    "Transfer",
    "Varied",
    "Window",
    "aligned_directions",
    "alignment",
    "amplified",
    "calibration_error",
    "cka",
    "clever",
    "compare",
    "concept_vector",
    "conv_norm",
    "correspondence",
    "crops",
    "dense_norm",
    "dictionary_fit",
    "dissect",
    "distortion",
    "entropy",
    "explained",
    "explained_by_all",
    "features",
    "firing",
    "frame_moves",
    "from_layer",
    "grad_cam",
    "grating",
    "grating_test",
    "ink_under",
    "integrated_gradients",
    "invariance",
    "jacobian_norm",
    "layer_inputs",
    "layer_names",
    "layer_norms",
    "layer_outputs",
    "load_frames",
    "margin_gradient",
    "max_cosines",
    "maximise",
    "nearest_of_affine",
    "network_invariance",
    "nms",
    "noise_of_size",
    "noisy",
    "occlude",
    "occlusion",
    "operator_norm",
    "overlap",
    "pool_norm",
    "predictor",
    "product_bound",
    "project",
    "propose",
    "purity",
    "random_directions",
    "random_rotation",
    "rank_units",
    "receptive_field",
    "rotate",
    "rotated",
    "rotation_power",
    "scale",
    "scaling_norm",
    "shifted",
    "smooth_grad",
    "sparse_autoencoder",
    "stroke_concepts",
    "strongest",
    "tcav",
    "thickened",
    "top_inputs",
    "train_dictionary",
    "transfer_matrix",
    "translate",
    "turning_strokes",
    "with_rule",
]
