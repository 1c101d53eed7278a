"""Six maps of what matters for a class, of one image each."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.studies.properties.nets import Net
from experiments.studies.properties.setting import Setting
from robust_jax import analysis
from robust_jax.core.types import Array

_STEPS = 64  # of integrated gradients
Method = Callable[[Array, Array, Array], Array]  # image, label, key -> [H, W]


def methods(net: Net, setting: Setting) -> dict[str, Method]:
    """Six methods by name; of maps of either sign the sum over colours."""
    shape = setting.test.images.shape[1:]
    names = analysis.layer_names(net.module, shape)
    layer = [name for name in names if "Conv" in name][-1]
    run = analysis.from_layer(net.module, net.variables, layer, shape)
    size = 3 if setting.is_small else 7

    def score(label: Array) -> Callable[[Array], Array]:
        return lambda x: net.logits_fn(x)[label]

    def cam(x: Array, label: Array, key: Array) -> Array:
        maps = run(x[None], jnp.zeros(()))[0]
        steep = jax.grad(lambda shift: run(x[None], shift)[1][0, label])(
            jnp.zeros_like(maps)
        )
        small = analysis.grad_cam(jax.nn.relu(maps[0]), steep[0])
        return jax.image.resize(small, x.shape[:2], "linear")

    def guided(x: Array, label: Array, key: Array) -> Array:
        function = analysis.with_rule(score(label), "guided")
        return jax.grad(function)(x).sum(-1)

    return {
        "gradient": lambda x, y, k: jax.grad(score(y))(x).sum(-1),
        "integrated gradients": lambda x, y, k: analysis.integrated_gradients(
            score(y), x, steps=_STEPS
        ).sum(-1),
        "SmoothGrad": lambda x, y, k: analysis.smooth_grad(score(y), x, k).sum(-1),
        "guided": guided,
        "Grad-CAM": cam,
        "occlusion": lambda x, y, k: analysis.occlusion(score(y), x, size),
    }
