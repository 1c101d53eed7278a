"""Models by a text that says where they are, as a command has it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial

from robust_jax.core import checks, layout as layouts, origin
from robust_jax.core.origin import Layout, Origin
from robust_jax.interop import loaders
from robust_jax.interop.declared import channels_first, channels_last
from robust_jax.interop.normalised import Normalisation, normalisation, normalised


class Kind(NamedTuple):
    """How models of one kind are loaded.

    Args:
        load: of what the text says behind the colon, and of `loaders.Given`.
        form: what stands behind the colon.
        layout: of the images that such nets take, or how it is found out.
        takes_weights: whether they are in a file of their own.
    """

    load: Callable[[str, loaders.Given], Any]
    form: str
    layout: Layout | Callable[[str], Layout | None] | None = None
    takes_weights: bool = False


KINDS = {
    "flax": Kind(loaders.flax, "package.module:factory", "HWC", True),
    "onnx": Kind(loaders.onnx, "FILE", loaders.onnx_layout),
    "python": Kind(loaders.python, "package.module:function"),
    "robustbench": Kind(loaders.robustbench, "NAME", "CHW", True),
    "sklearn": Kind(loaders.sklearn, "FILE"),
    "torch": Kind(loaders.torch, "package.module:factory", "CHW", True),
}
_CHECKPOINT = Kind(loaders.checkpoint, "FILE.safetensors", "HWC")


def load_model(
    spec: str,
    *,
    weights: Any = None,
    input_range: tuple[float, float] = (0, 1),
    mean: Any = None,
    std: Any = None,
    layout: Layout | None = None,
    example: Any = None,
    images: Any = None,
    allow_factory: bool = False,
) -> Partial:
    """A model of images in [0, 1], from wherever it is, in inference mode.

    * `FILE.safetensors`: a net that `models.save` wrote
    * `torch:package.module:factory`: a module of PyTorch, a state_dict as `weights`
    * `onnx:FILE`: a graph
    * `flax:package.module:factory`: of Linen or NNX, with `weights` in a .safetensors,
      .npz or .msgpack by the names of the module
    * `python:package.module:function`: logits of one example or of a batch; with `()`
      behind it, what the function gives
    * `robustbench:NAME`: an architecture of the installed package, `weights` as torch's
    * `sklearn:FILE`: a classifier that skops wrote, which is asked on the host

    A factory is called without arguments. Modules are imported, which runs them: name
    those that you trust. Nothing in a file is executed, and nothing is downloaded.
    Guarantees: `core.origin.of(model)` says the source, the layout and, for imported
    nets, the parity with the original on `images`.

    Args:
        spec: see above.
        weights: a file, where the kind of model has them apart.
        input_range: what black and white are to the net; see `interop.normalised`.
        mean: subtracted inside, in units of `input_range`; one number, or per channel.
        std: divided by inside; the same.
        layout: of the images that it will be given, "HWC" or "CHW": a net that takes
            the other is turned. By default the net's own.
        example: one image in [0, 1], [*S], for libraries that ask for one; by default
            the first of `images`.
        images: some more, [N, *S], on which an imported net is compared.
        allow_factory: of a checkpoint that names the function that makes its net, call
            it; see `models.load`.
    Raises: ValueError: an unknown kind, with the known ones; a text of another form; a
        file that is none; weights that do not fit. ImportError: a module or library
        that is missing. FileNotFoundError, TypeError: as their names say.

    >>> rj.load_model("python:jax.numpy:sin", input_range=(-1, 1))(jnp.zeros(2))
    Array([-0.84147096, -0.84147096], dtype=float32)
    """
    kind, rest = _parsed(spec)
    if weights is not None and not kind.takes_weights:
        raise ValueError(
            f"weights={checks.shown(weights)} with model={spec}, which holds its own; "
            "leave weights out"
        )
    if layout is not None:
        checks.known_name("layout", layout, ("HWC", "CHW"))
    before = normalisation(input_range, mean, std)
    own = (kind.layout(rest) if callable(kind.layout) else kind.layout) or layout
    given = _given(own, weights, layout, before, example, images)
    model = kind.load(rest, given._replace(allow_factory=allow_factory))
    said = origin.of(model)
    if said is None or said.layout is None:
        source = said.source if said is not None else _source(spec)
        parity = said.parity if said is not None else None
        model = layouts.declared(model, Origin(source, own, parity))
    model = normalised(model, input_range=input_range, mean=mean, std=std)
    if layout is None:
        return model
    return channels_last(model) if layout == "HWC" else channels_first(model)


def _parsed(spec: Any) -> tuple[Kind, str]:
    """The kind of a model, and what says which one.

    Raises: TypeError: no text. ValueError: an unknown kind, or nothing behind it.
    """
    checks.instance("model", spec, str, "a text such as 'net.safetensors'")
    prefix, colon, rest = spec.partition(":")
    if not colon:
        return _CHECKPOINT, spec
    if prefix not in KINDS:
        forms = ", ".join(f"{name}:{kind.form}" for name, kind in KINDS.items())
        raise ValueError(
            f"model={checks.shown(spec)}; unknown kind {checks.shown(prefix)}; "
            f"expected {_CHECKPOINT.form}, {forms}"
        )
    if not rest:
        raise ValueError(f"model={spec}; expected {prefix}:{KINDS[prefix].form}")
    return KINDS[prefix], rest


def is_checkpoint(spec: str) -> bool:
    """Whether a text names a net of `models.save`.

    Raises: TypeError, ValueError: a text that names nothing that is known.
    """
    return _parsed(spec)[0] is _CHECKPOINT


def _source(spec: str) -> str:
    return " ".join(spec.split(":", 1))


def _given(
    own: Layout | None,
    weights: Any,
    layout: Layout | None,
    before: Normalisation,
    example: Any,
    images: Any,
) -> loaders.Given:
    """What a loader gets; images as the net itself sees them, in its own layout."""
    if images is None:
        images = None if example is None else np.asarray(example)[None]
    if images is None:
        return loaders.Given(weights, None)
    images = np.asarray(images, np.float32)
    if layout is not None and layout != own:
        images = (layouts.to_first if own == "CHW" else layouts.to_last)(images)
    return loaders.Given(weights, before(images, -3 if own == "CHW" else -1))
