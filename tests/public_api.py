"""The public names with their arguments, a line each: tests/public_api.txt.

python -m tests.public_api

An attack's call stands in docs/attacks.md, see `experiments.list_attacks`.
"""

import pathlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from robust_jax.commands.list_attacks import arguments, has_facts

FILE = pathlib.Path(__file__).with_suffix(".txt")


def listing() -> str:
    """What `__all__` of each package names; of modules in it what they define."""
    import robust_jax

    packages = (name for name in dir(robust_jax) if not name.startswith("__"))
    values = ((name, getattr(robust_jax, name)) for name in packages)
    shown = (line for pair in sorted(values) for line in lines(*pair, has_facts))
    return "\n".join(shown) + "\n"


def lines(
    name: str, value: Any, skips: Callable[[Any], bool] = lambda value: False
) -> Iterator[str]:
    """The lines of a name, those of what a module or package shows among them."""
    if not isinstance(value, ModuleType):
        yield name + arguments(value)
        return
    for inner in sorted(getattr(value, "__all__", None) or defined(value)):
        if not skips(getattr(value, inner)):
            yield from lines(f"{name}.{inner}", getattr(value, inner), skips)


def defined(module: ModuleType) -> list[str]:
    """The public functions and classes that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]


if __name__ == "__main__":
    FILE.write_text(listing())
