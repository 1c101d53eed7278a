"""Flags whose values are numbers, also written as fractions: --eps=8/255."""

from typing import Any

from absl import flags

from robust_jax.core import checks

flags.disclaim_key_flags()  # Flags are of the module that calls DEFINE_number.


class _Parser(flags.FloatParser):
    def convert(self, argument: Any) -> float:
        if not isinstance(argument, str):
            return super().convert(argument)
        return checks.number_of(argument)


def DEFINE_number(
    name: str,
    default: float | None,
    help: str,
    lower_bound: float | None = None,
    **more: Any,
) -> flags.FlagHolder[Any]:
    """As `flags.DEFINE_float`, but 8/255 is a number too."""
    parser = _Parser(lower_bound)
    return flags.DEFINE(
        parser, name, default, help, serializer=flags.ArgumentSerializer(), **more
    )


def several(name: str, texts: list[str] | None) -> tuple[float, ...] | None:
    """The numbers of a flag that has a list; None where it is not given.

    Raises: ValueError: what are none.
    """
    try:
        return None if texts is None else tuple(map(checks.number_of, texts))
    except ValueError:
        said = f"{name}={','.join(texts or ())}"
        raise ValueError(f"{said}; expected numbers, such as 0,8/255") from None
