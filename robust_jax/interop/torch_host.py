"""Modules of PyTorch as they are, asked on the host, with PyTorch's gradient."""

import dataclasses
import functools
import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.extras import needed
from robust_jax.core.origin import Layout, Origin
from robust_jax.core.types import Array
from robust_jax.interop import torch_original
from robust_jax.interop.host import Asked, called_back, check_name
from robust_jax.interop.torch_structure import name_of, tensors_of

_KEPT = 2  # Forwards whose graph waits for its backward; of others it runs once more.
_MANY = 2**30  # Numbers of forwards before they begin again.


@dataclasses.dataclass(frozen=True, eq=False)
class _Wrapped:
    origin: Origin
    ask: Callable[[Array], Array]
    is_channels_last: bool

    def __call__(self, x: Array) -> Array:
        return self.ask(jnp.moveaxis(x, -1, -3) if self.is_channels_last else x)


def wrap_torch(
    module: Any, example: Any, *, layout: Layout = "CHW", name: str | None = None
) -> Partial:
    """A module of PyTorch as it is, asked on the host, with the gradient of autograd.

    For what `from_torch` cannot read, such as branches on values. Each step of an
    attack asks for the logits of the whole batch, and then for the gradient, for which
    PyTorch goes back through the forward that it just did.
    Guarantees: the weights are those that the module has when it is asked; it is not
    changed. No more than two forwards are kept, whether or not a backward follows.
    Edge cases: it must answer examples independently, be in evaluation mode when it is
    asked, and must not call JAX. There are no second derivatives. Python must not end
    while it is asked: what was computed last is waited for (`block_until_ready`).

    Args:
        module: in evaluation mode.
        example, layout: as in `from_torch`.
        name: what tells the module, with its weights, from every other one: the journal
            of an evaluation needs it. By default a digest of class, text and weights.
    Returns: one example [*S] to its logits [K].
    Raises: TypeError, ValueError: what is no such module; while it runs, a module in
        training mode, or answers of another shape. ImportError: PyTorch is missing.
    """
    torch = needed("torch", "torch", "interop.wrap_torch")
    checks.instance("module", module, torch.nn.Module, "a torch.nn.Module")
    check_name(name)
    torch_original.check_mode(module)
    one = torch_original.one_example(
        _AsItIs(torch, module), torch_original.channels_first(example, layout)
    )
    host = _Host(torch, module, _class_count(torch, module, one))
    ask = _with_gradient(host, lambda: _digest(module) if name is None else name)
    known = layout if one.ndim == 3 else None
    origin = Origin(f"torch {name_of(module)}, on the host", known)
    return Partial(_Wrapped(origin, ask, layout == "HWC"))


class _AsItIs:
    """A module as `torch_original` asks it."""

    def __init__(self, torch: Any, module: Any) -> None:
        self.torch, self.name, self._module = torch, name_of(module), module

    def batch(self, x: np.ndarray) -> Any:
        return _tensor(self.torch, self._module, x)

    def answer(self, batch: Any) -> Any:
        with torch_original.drawing_apart(self.torch):
            return self._module(batch)


def _tensor(torch: Any, module: Any, x: np.ndarray) -> Any:
    """A batch in the type, and on the device, of the module's weights."""
    floats = (p for p in module.parameters() if p.is_floating_point())
    like = next(floats, torch.empty(0))
    return torch.from_numpy(np.array(x)).to(like.device, like.dtype)


def _class_count(torch: Any, module: Any, one: np.ndarray) -> int:
    with torch.no_grad(), torch_original.drawing_apart(torch):
        return int(module(_tensor(torch, module, one[None])).shape[1])


def _with_gradient(host: "_Host", name: Callable[[], str]) -> Callable[[Array], Array]:
    logits = jax.ShapeDtypeStruct((host.num_classes,), jnp.float32)
    token = jax.ShapeDtypeStruct((), jnp.int32)

    @functools.cache  # The same at every trace.
    def of(function: Callable[..., Any], shape: tuple[int, ...]) -> Asked:
        return Asked(function, shape, name)

    forward, kept, backward = host.forward, host.kept_forward, host.backward

    @jax.custom_vjp
    def ask(x: Array) -> Array:
        return called_back(of(forward, x.shape), logits, x)

    def ahead(x: Array) -> Any:
        answer, number = called_back(of(kept, x.shape), (logits, token), x)
        return answer, (number, x)

    def back(kept: Any, slope: Array) -> tuple[Array]:
        number, x = kept
        like = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return (called_back(of(backward, x.shape), like, number, x, slope),)

    ask.defvjp(ahead, back)
    return ask


class _Host:
    """The module, and the forwards whose graph waits for its backward."""

    def __init__(self, torch: Any, module: Any, num_classes: int) -> None:
        self.num_classes, self._torch, self._module = num_classes, torch, module
        self._numbers, self._lock = itertools.cycle(range(_MANY)), threading.Lock()
        self._kept: OrderedDict[int, tuple[NDArray[Any], Any, Any]] = OrderedDict()

    def forward(self, shape: tuple[int, ...], x: NDArray[Any]) -> NDArray[Any]:
        with self._torch.no_grad():
            logits = self._asked(_tensor(self._torch, self._module, _rows(x, shape)))
        return self._as_array(logits, x, shape)

    def kept_forward(self, shape: tuple[int, ...], x: NDArray[Any]) -> Any:
        rows = _rows(x, shape)
        batch, logits = self._graph(rows)
        with self._lock:
            number = next(self._numbers)
            self._kept[number] = rows, batch, logits
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        lead = x.shape[: x.ndim - len(shape)]
        return self._as_array(logits, x, shape), np.full(lead, number, np.int32)

    def backward(
        self,
        shape: tuple[int, ...],
        numbers: NDArray[Any],
        x: NDArray[Any],
        slope: NDArray[Any],
    ) -> NDArray[Any]:
        rows = _rows(x, shape)
        with self._lock:
            found = self._kept.pop(int(numbers.flat[0]), None)
        # A program may ask twice, or for rows in another order.
        if found is None or not np.array_equal(found[0], rows):
            found = (rows, *self._graph(rows))
        _, batch, logits = found
        if not logits.requires_grad:
            return np.zeros(x.shape, x.dtype)
        ahead = self._torch.from_numpy(slope.reshape(-1, self.num_classes)).to(logits)
        (answer,) = self._torch.autograd.grad(logits, batch, ahead)
        return torch_original.array_of(answer).astype(x.dtype).reshape(x.shape)

    def _graph(self, rows: NDArray[Any]) -> tuple[Any, Any]:
        with self._torch.enable_grad():
            batch = _tensor(self._torch, self._module, rows).requires_grad_()
            return batch, self._asked(batch)

    def _asked(self, batch: Any) -> Any:
        if self._module.training:
            raise ValueError(
                f"module={name_of(self._module)} is in training mode; call "
                "module.eval() before it is attacked"
            )
        logits = self._module(batch)
        shape = tuple(getattr(logits, "shape", ()))
        if shape != (len(batch), self.num_classes):
            raise ValueError(
                f"module={name_of(self._module)} gave an answer of shape {shape} for "
                f"{len(batch)} examples; expected {(len(batch), self.num_classes)}"
            )
        return logits

    def _as_array(
        self, logits: Any, x: NDArray[Any], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        lead = x.shape[: x.ndim - len(shape)]
        rows = torch_original.array_of(logits).astype(np.float32)
        return rows.reshape(*lead, self.num_classes)


def _rows(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return x.reshape(-1, *shape)


def _digest(module: Any) -> str:
    """Of what the module says that it is, and of its weights now."""
    total = hashlib.sha256(f"{name_of(module)} {module}".encode())
    code = getattr(type(module).forward, "__code__", None)
    total.update(getattr(code, "co_code", b""))
    for name, value in tensors_of(module).items():
        array = torch_original.array_of(value)
        total.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return total.hexdigest()
