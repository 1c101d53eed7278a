"""The public names with their arguments, a line each: tests/public_api.txt.

python -m tests.public_api --renew
"""

import inspect
import pathlib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

FILE = pathlib.Path(__file__).with_suffix(".txt")


def listing() -> str:
    """What `__all__` of each package names; of modules in it what they define."""
    import robust_jax

    packages = (name for name in dir(robust_jax) if not name.startswith("__"))
    values = ((name, getattr(robust_jax, name)) for name in packages)
    return "\n".join(line for pair in sorted(values) for line in lines(*pair)) + "\n"


def lines(name: str, value: Any) -> Iterator[str]:
    """The lines of a name, those of what a module or package shows among them."""
    if not isinstance(value, ModuleType):
        yield name + arguments(value)
        return
    for inner in sorted(getattr(value, "__all__", None) or defined(value)):
        yield from lines(f"{name}.{inner}", getattr(value, inner))


def defined(module: ModuleType) -> list[str]:
    """The public functions and classes that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]


def arguments(value: Any) -> str:
    """Names and defaults of what is called, without types; nothing of other values."""
    if not callable(value) or getattr(value, "_is_protocol", False):
        return ""
    try:
        signature = inspect.signature(value)
    except ValueError:  # Of an alias of a type, say.
        return ""
    kept = [
        parameter.replace(annotation=parameter.empty, default=_Default.of(parameter))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=kept, return_annotation=signature.empty))


class _Default(str):
    """A default as it is written: of a function its name, of nothing an address."""

    __repr__ = str.__str__

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> Any:
        value = parameter.default
        if value is parameter.empty:
            return value
        text = getattr(value, "__qualname__", repr(value))
        return cls(re.sub(r" at 0x[0-9a-f]+", "", text))


if __name__ == "__main__":
    FILE.write_text(listing())
