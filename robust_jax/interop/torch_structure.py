"""What a module of PyTorch is apart from its weights."""

import copy
import copyreg
import functools
import hashlib
import types
from collections.abc import Hashable, Iterator, Mapping, Set
from typing import Any

import numpy as np

_BY_VALUE = (str, bytes, int, complex, type(None), type, type(...))
_OF_TORCH = ("dtype", "device", "layout", "memory_format")


def plain(module: Any) -> Any:
    """The module inside of what `torch.compile` and `DataParallel` put around it."""
    import torch

    while hasattr(module, "_orig_mod") or isinstance(module, torch.nn.DataParallel):
        module = getattr(module, "_orig_mod", None) or module.module
    return module


def name_of(module: Any) -> str:
    """Its class as it is imported."""
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"


def tensors_of(module: Any) -> dict[str, Any]:
    """Parameters, buffers and tensors that are mere attributes, as `state_dict` names.

    Of a part that stands in several places, under the first of its names.
    """
    return {
        f"{name}.{own}" if name else own: value.detach()
        for name, part in module.named_modules()
        for own, value in _tensors_of(part)
    }


def _tensors_of(part: Any) -> Iterator[tuple[str, Any]]:
    import torch

    held = {**part._parameters, **part._buffers, **vars(part)}
    return ((k, v) for k, v in held.items() if isinstance(v, torch.Tensor))


def skeleton(module: Any) -> Any:
    """A copy without weights, which later changes of the module do not reach.

    Raises: ValueError: a module that cannot be copied.
    """
    import torch

    empty: dict[int, Any] = {}
    for part in module.modules():
        for _, value in _tensors_of(part):
            hollow = value.detach().to("meta")
            is_parameter = isinstance(value, torch.nn.Parameter)
            empty[id(value)] = (
                torch.nn.Parameter(hollow, requires_grad=False)
                if is_parameter
                else hollow
            )
    try:
        return copy.deepcopy(module, empty)
    except Exception as error:  # Whatever its parts raise.
        raise ValueError(
            f"module={name_of(module)} cannot be copied "
            f"({' '.join(str(error).split())}); take interop.wrap_torch"
        ) from error


def structure_of(module: Any) -> Hashable:
    """What must be equal for two modules to compute the same of equal weights.

    Classes with their `forward`, names, and all attributes but weights by value. What
    has no value to compare is equal to nothing: in doubt two modules differ.
    """
    return _Structure().of(module)


class _Structure:
    def __init__(self) -> None:
        self._known: dict[int, int] = {}  # Modules and weights, as they are met.
        self._around: set[int] = set()  # What is being looked into.

    def of(self, value: Any) -> Hashable:
        """A value that compares as the object's content does."""
        import torch

        if isinstance(value, float):
            return float, repr(value)  # Zeros have signs, and NaN is NaN.
        if isinstance(value, _BY_VALUE):
            return type(value), value
        if type(value).__module__ == "torch" and type(value).__name__ in _OF_TORCH:
            return type(value), str(value)
        if isinstance(value, torch.nn.Module):
            return self._shared(value) or self._module(value)
        if isinstance(value, torch.Tensor):
            return self._digest(value.detach().cpu().float().numpy())
        if isinstance(value, np.ndarray | np.generic):
            return self._digest(value)
        if id(value) in self._around:
            return "a way back"
        self._around.add(id(value))
        try:
            return type(value), tuple(self._parts(value))
        finally:
            self._around.remove(id(value))

    def _module(self, part: Any) -> Hashable:
        import torch

        weights = tuple(
            (name, self._shared(value) or (str(value.dtype), tuple(value.shape)))
            for name, value in _tensors_of(part)
        )
        attributes = {
            name: value
            for name, value in vars(part).items()
            if name not in ("_parameters", "_buffers")
            and not isinstance(value, torch.Tensor)
        }
        forward = getattr(type(part).forward, "__code__", None)
        return type(part), forward, weights, self.of(attributes)

    def _shared(self, value: Any) -> Hashable:
        """Which one it is of those that were met before."""
        if id(value) in self._known:
            return "known", self._known[id(value)]
        self._known[id(value)] = len(self._known)
        return None

    def _parts(self, value: Any) -> Iterator[Hashable]:
        if isinstance(value, Mapping):
            yield from ((self.of(k), self.of(v)) for k, v in value.items())
        elif isinstance(value, tuple | list):
            yield from map(self.of, value)
        elif isinstance(value, Set):
            yield frozenset(map(self.of, value))
        elif isinstance(value, types.FunctionType):
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            yield value.__code__
            yield self.of([cells, value.__defaults__, value.__kwdefaults__])
        elif isinstance(value, types.BuiltinFunctionType):
            yield value
        elif isinstance(value, types.MethodType):
            yield self.of([value.__func__, value.__self__])
        elif isinstance(value, functools.partial):
            yield self.of([value.func, value.args, value.keywords])
        else:
            yield self._object(value)

    def _object(self, value: Any) -> Hashable:
        """What its attributes are, if it has nothing else; else what equals nothing."""
        try:
            make, of, state, *rest = value.__reduce_ex__(2)
        except Exception:  # Whatever it raises.
            return object()
        is_plain = make is copyreg.__newobj__ and len(of) == 1  # type: ignore[attr-defined]
        if not is_plain or any(part is not None for part in rest):
            return object()
        return self.of(state)

    @staticmethod
    def _digest(value: Any) -> Hashable:
        content = np.ascontiguousarray(value)
        digest = hashlib.sha256(content.tobytes()).hexdigest()
        return content.dtype.str, content.shape, digest
