"""Records of arrays in one line: their types and shapes, not their numbers."""

from typing import Any


def brief(record: Any) -> str:
    """A named tuple or a dataclass as `repr` has it, arrays as float32[64, 28, 28].

    To be a class's `__repr__`.
    """
    names = getattr(record, "_fields", None) or record.__dataclass_fields__
    shown = (f"{name}={_shown(getattr(record, name))}" for name in names)
    return f"{type(record).__name__}({', '.join(shown)})"


def _shown(value: Any) -> str:
    if not hasattr(value, "dtype") or not hasattr(value, "shape") or not value.shape:
        return repr(value)
    return f"{value.dtype}{list(value.shape)}"
