"""Six maps of what matters for a class, of one image each."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.properties.nets import Net
from experiments.properties.setting import Setting
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
        "occlusion": functools.partial(_covers, score, size),
    }


def _covers(
    score: Callable[[Array], Callable[[Array], Array]],
    size: int,
    x: Array,
    label: Array,
    key: Array,
) -> Array:
    """The logit lost by a cover, given to the pixels under it."""
    ones, base = jnp.ones((size, size)), score(label)(x)
    rows, columns = x.shape[0] - size + 1, x.shape[1] - size + 1

    def lost(place: Array) -> Array:
        cover = jax.lax.dynamic_update_slice(
            x, jnp.zeros((size, size, 1)), (place[0], place[1], 0)
        )
        return base - score(label)(cover)

    grid = jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij")
    found = jax.vmap(lost)(jnp.stack(grid, -1).reshape(-1, 2))
    pad = [(0, 0), (0, 0), *[(size - 1, size - 1)] * 2]
    found = jnp.pad(found.reshape(1, 1, rows, columns), pad)
    return jax.lax.conv(found, ones[None, None], (1, 1), "VALID")[0, 0]
