"""torchax, which runs modules of PyTorch on JAX's arrays, for a moment at a time."""

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from robust_jax.core.extras import needed

_TELEMETRY = "ENABLE_RUNTIME_UPTIME_TELEMETRY"  # torchax sets it for all of JAX.


class Draws(Exception):
    """A module draws random numbers."""


class Libraries(NamedTuple):
    """What is imported once."""

    torch: Any
    environment: Any  # of torchax, apart from the one that its users see
    mended: tuple[str, ...]  # operators that torchax's tables name and PyTorch lacks


@functools.cache
def libraries() -> Libraries:
    """PyTorch and torchax, with what torchax sets for others as it was before.

    Raises: ImportError: one is not installed, or cannot be imported, and why.
    """
    torch = needed("torch", "torch", "interop.from_torch")
    fast, is_set = torch.backends.mha.get_fastpath_enabled(), _TELEMETRY in os.environ
    try:
        with _operators_that_went(torch) as mended:
            needed("torchax", "torch", "interop.from_torch")
            made = needed("torchax.tensor", "torch", "interop.from_torch").Environment()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        if not is_set:
            os.environ.pop(_TELEMETRY, None)
    # PyTorch would take it for an accelerator to run on.
    torch.jax.is_available, torch.jax.device_count = lambda: False, lambda: 0
    made.get_and_rotate_prng_key = _refuse
    return Libraries(torch, made, tuple(mended))


@contextlib.contextmanager
def _operators_that_went(torch: Any) -> Iterator[list[str]]:
    """Lets torchax 0.0.13 load on PyTorch >= 2.13, which dropped named dimensions.

    Its tables look up overloads for those, which another one stands for meanwhile: no
    tensor has named dimensions any more, so that none of them is ever called.
    """
    packet, mended = torch._ops.OpOverloadPacket, []
    found = packet.__getattr__

    def lookup(self: Any, key: str) -> Any:
        try:
            return found(self, key)
        except AttributeError:
            if key.startswith("_") or "name" not in key.lower():
                raise
            mended.append(f"{self}.{key}")
            return getattr(self, self.overloads()[0])

    packet.__getattr__ = lookup
    try:
        yield mended
    finally:
        packet.__getattr__ = found


def _refuse(generator: Any = None) -> Any:
    raise Draws


def call(
    module: Any,
    weights: dict[str, Any],
    x: Any,
    then: Callable[[Any], Any] | None = None,
) -> Any:
    """What a module gives for arrays of JAX.

    Args:
        module: its own tensors are not looked at.
        weights: arrays in their place, by name.
        x: [B, *S].
        then: what is made of the answer, still with PyTorch.
    Raises: Draws: it draws random numbers. Whatever torchax raises.
    """
    torch, environment, _ = libraries()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # Opaque to torchax.
    try:
        # What a module makes anew, such as positions, is an array of JAX too.
        with (
            torch.no_grad(),
            environment,
            torch.device("jax"),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Explicitly requested dtype")
            tensors, batch = environment.j2t_iso((weights, x))
            answer = torch.func.functional_call(
                module, tensors, (batch,), tie_weights=False
            )
            return environment.t2j_iso(answer if then is None else then(answer))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
