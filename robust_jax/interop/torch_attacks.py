"""The library's attacks for scripts in PyTorch: tensors in, tensors out."""

import dataclasses
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import (
    array_checks,
    boxes,
    checks,
    drive,
    facts,
    layout,
    lift,
    origin,
)
from robust_jax.core.ids import example_ids
from robust_jax.core.types import Attack, Reach, Threat, Untargeted
from robust_jax.interop import torch_modules, torch_original, torch_parity
from robust_jax.interop.torch_modules import Apply
from robust_jax.interop.torch_original import Original, array_of

# Modules as they were read, for as long as their user has them.
_READ: "weakref.WeakKeyDictionary[Any, tuple[Apply, Any]]" = weakref.WeakKeyDictionary()


def torch_attack(attack: Attack, threat: Threat) -> Callable[..., Any]:
    """An attack as a function of a module and tensors: `(module, x, y) -> x_adv`.

    `torch_attack(attacks.pgd(), threats.Linf(8 / 255))(net, x, y)` stands where another
    library's attack stood. It takes `targets=` [B], classes that the images must be
    taken for; `epsilons=`, a list of radii in place of the threat's, for which it gives
    a list; and `seed=`.
    Guarantees: x_adv has device, type and memory layout of x; it depends on no other
    image of the batch. The module is attacked with the weights that it has at the call;
    neither those, nor a radius, nor a smaller last batch compile again.
    Edge cases: an image that the module gets wrong comes back as it is. The module must
    be in evaluation mode, as for `from_torch`, by which it is read, and compared, at
    the first call.

    Args:
        attack: such as `attacks.pgd(40)`.
        threat: such as `threats.Linf(8 / 255)`.
    Returns: the function; its errors are those of `from_torch` and of bad images,
        labels, targets and radii.
    Raises: TypeError, ValueError: no attack, no threat, or a pair that nobody vouches
        for.
    """
    checks.attack("attack", attack)
    boxes.check_kind(threat)
    facts.check_use(attack, threat)

    def run(
        module: Any,
        x: Any,
        y: Any,
        *,
        targets: Any = None,
        epsilons: Sequence[float] | None = None,
        seed: int = 0,
    ) -> Any:
        checks.seed(seed)
        model, given = _read(module, x)
        labels = _classes("y", y, len(given))
        aims = None if targets is None else _classes("targets", targets, len(given))
        found = [
            _attacked(attack, model, within, given, labels, aims, seed)
            for within in _radii(threat, epsilons)
        ]
        tensors = [_like(x, one) for one in found]
        return tensors[0] if epsilons is None else tensors

    return run


def _attacked(
    attack: Attack,
    model: Partial,
    threat: Threat,
    x: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    known = facts.of(attack)
    nearest = known is not None and known.finds == facts.NEAREST
    to_the_end = nearest or bool(np.isinf(np.asarray(threat.eps)).any())
    boxes.check(threat, x.shape, cap=to_the_end)
    threat = lift.without_kept_axes(threat, x)
    x = boxes.inside(x, threat)
    goal: Any = Untargeted(labels) if targets is None else Reach(targets)
    run = lift.in_tiles(drive.auto(attack, to_the_end=to_the_end))
    is_first = layout.is_first(origin.of(model))  # Names are those of `rj.attack`.
    names = example_ids(layout.to_last(x) if is_first else x, labels)
    keys = lift.item_keys(seed, names)
    return np.asarray(run(keys, model, threat, x, goal).x_adv)


def _read(module: Any, x: Any) -> tuple[Partial, np.ndarray]:
    """The module as it is now, and the images.

    Raises: TypeError, ValueError: see `from_torch`; images that are no tensor; a module
        whose function in JAX gives other logits.
    """
    original = torch_original.of(module)
    checks.instance("x", x, original.torch.Tensor, "a tensor of images [B, *S]")
    given = array_checks.batch(array_of(x)).astype(np.float32)
    apply = _applied(original, module, given)
    weights = {name: jnp.asarray(w) for name, w in original.arrays().items()}
    return Partial(apply, weights), given


def _applied(original: Original, module: Any, x: np.ndarray) -> Apply:
    structure, held = torch_modules.structured(module, "CHW"), _READ.get(module)
    if held is not None and held[0].structure == structure and held[1] == x.shape[1:]:
        return held[0]
    apply, _ = torch_modules.read(original, module, x[:1], "CHW")
    parity = torch_parity.measured(apply, original, torch_parity.chosen(x, x.shape[1:]))
    if not parity.is_close:
        raise ValueError(
            f"module={original.name}: {parity}, first in {parity.differs!r}; expected "
            "examples that do not depend on each other, or attack it by "
            "interop.wrap_torch"
        )
    _READ[module] = apply, x.shape[1:]
    return apply


def _classes(name: str, value: Any, count: int) -> np.ndarray:
    made = array_of(value) if hasattr(value, "detach") else np.asarray(value)
    array_checks.labels(made, count, name=name)
    return made.astype(np.int32)


def _radii(threat: Any, epsilons: Sequence[float] | None) -> list[Any]:
    if epsilons is None:
        return [threat]
    checks.sequence("epsilons", epsilons)
    for i, eps in enumerate(epsilons):
        checks.non_negative_number(f"epsilons[{i}]", eps)
    return [dataclasses.replace(threat, eps=float(eps)) for eps in epsilons]


def _like(x: Any, found: np.ndarray) -> Any:
    """What was found as a tensor with device, type and memory layout of x."""
    import torch

    return torch.empty_like(x, requires_grad=False).copy_(torch.from_numpy(found))
