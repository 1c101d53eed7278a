"""PyTorch's weights in this library's own nets, which are the fastest to attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robust_jax.core import checks, extras
from robust_jax.core.origin import Origin

if TYPE_CHECKING:
    from robust_jax.models import Checkpoint, Classifier


def load_native(
    weights: Any,
    module: Classifier | str | None = None,
    *,
    input_shape: tuple[int, ...],
    **config: Any,
) -> Checkpoint:
    """One of this library's nets with the weights of a PyTorch net, for inference.

    WideResNet as TRADES and DeepMind have it, PreActResNet-18, ResNets for small images
    and for those of ImageNet: by the names of layers that RobustBench's files and
    torchvision use. Names and shapes say which net it is, and its sizes; what they do
    not say must be given: `mean` and `std` unless the file has them (buffers of a
    wrapper), `activation` of DeepMind's nets, `layout` of a PreActResNet-18.
    Guarantees: every weight of the net comes from the file, and none that the net
    computes with is left over; nothing in the file is run. Images are channels last.
    Edge cases: DeepMind's, RobustBench's and torchvision's nets average over all places
    of the sizes that they are made for, as ours do of any size. Weights of less than 32
    bits become float32. The normalisation of a file goes into a module that has none.

        >>> theirs = {"conv1.weight": np.ones((8, 3, 5, 5)), "fc.bias": np.ones(10)}
        >>> rj.interop.load_native(theirs, input_shape=(32, 32, 3))
        Traceback (most recent call last):
        ValueError: weights of 2 arrays; names and shapes of layers (the first is
        'conv1.weight') are those of no net that this library has; take
        interop.from_torch with the module

    Args:
        weights: a file as `read_state_dict` takes it, weights by name, or a module of
            PyTorch.
        module: a net of `models.by_name`, which then says all of this; or its name; by
            default the one that the weights fit.
        input_shape: of one image [H, W, C].
        config: attributes of the net that the weights do not say.
    Returns: module and variables, as `models.load` gives them: see its `logits_fn`.
    Raises: ValueError: weights that fit another net or none, lack one, have one too
        many, of another shape, or that are no finite numbers; an attribute that is
        missing or contradicts them. FileNotFoundError, ImportError: as
        `read_state_dict`.
    """
    checks.instance("input_shape", input_shape, tuple | list, "a tuple of sizes")
    extras.needed("flax", "flax", "interop.load_native")
    from robust_jax.interop import native_weights as files  # Loads Flax.
    from robust_jax.models import Checkpoint, Classifier

    source, state = files.named(weights)
    state, normalisation = files.without_wrappers(source, state)
    if isinstance(module, Classifier):
        if config:
            raise ValueError(
                f"{next(iter(config))}= beside module={checks.shown(module)}; expected "
                "attributes in the module alone"
            )
        net = files.normalising(source, module, normalisation)
    else:
        net = files.recognised(source, module, state, normalisation | config)
    variables = files.variables_of(source, net, state, tuple(input_shape))
    origin = Origin(f"torch {source} into {type(net).__name__}", "HWC")
    return Checkpoint(net, variables, tuple(input_shape), {}, origin)
