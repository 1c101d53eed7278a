"""Refusing bad input with one sentence: the argument, its value and the remedy.

Factories check their Python arguments when they are called; the host layer checks
arrays before anything runs. Nothing is repaired silently. Traced numbers pass: the
factory that traces its body has been called with their values before.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_MOST_COUNT = 2**31 - 1  # States count in int32.
_MOST_SLOTS = 2**16  # Far beyond what any device does at a time.
_LAST_SEED = 2**32 - 1  # Keys are made of words of so many bits.


def is_traced(value: Any) -> bool:
    """Whether a number has no value yet; see `core.factories`."""
    # By name, so that data sets need no JAX to be checked.
    return any(kind.__name__ == "Tracer" for kind in type(value).__mro__)


def is_floating(dtype: np.dtype) -> bool:
    """Whether it is of floats, bfloat16 and its like among them."""
    return dtype.kind == "f" or "float" in dtype.name  # NumPy takes those for void.


def holds(name: str, value: Any, condition: Callable[[Any], bool], wanted: str) -> None:
    """Raises ValueError unless `value` is a number for which the condition holds."""
    if is_traced(value):
        return
    if not (is_number(value) and condition(value)):
        raise ValueError(f"{name}={shown(value)}; expected {wanted}")


def is_number(value: Any) -> bool:
    """Whether a value is a real number that a float can hold."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:  # An integer, or a fraction, beyond all floats.
        return False
    return True


def number_of(text: str) -> float:
    """A number as people write it: "0.03", "1e-3", or a fraction, "8/255".

    Raises: ValueError: a text of another kind.
    """
    top, slash, bottom = text.partition("/")
    try:
        return float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"{text!r}; expected a number, such as 0.03 or 8/255"
        ) from None


def positive_integer(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is an integer >= 1 that fits in 31 bits."""
    if is_traced(value):
        return
    if not _is_integer(value) or value < 1:
        raise ValueError(f"{name}={shown(value)}; expected an integer >= 1")
    if value > _MOST_COUNT:
        raise ValueError(
            f"{name}={shown(value)}; expected an integer <= {_MOST_COUNT:,}"
        )


def tile(value: Any) -> None:
    """Raises ValueError unless `value` is a number of slots that memory may hold."""
    positive_integer("tile", value)
    if value > _MOST_SLOTS:
        raise ValueError(f"tile={value}; expected an integer <= {_MOST_SLOTS:,}")


def seed(value: Any) -> None:
    """Raises ValueError unless `value` is an integer that no other seed equals."""
    if not _is_integer(value) or not 0 <= value <= _LAST_SEED:
        raise ValueError(
            f"seed={shown(value)}; expected an integer from 0 to 2**32 - 1"
        )


def instance(name: str, value: Any, kinds: Any, wanted: str) -> None:
    """Raises TypeError unless `value` is of a kind."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name}={shown(value)}; expected {wanted}")


def function(name: str, value: Any) -> None:
    """Raises TypeError unless `value` can be called."""
    if not callable(value):
        raise TypeError(f"{name}={shown(value)}; expected a function")


def hashable(name: str, value: Any) -> None:
    """Raises ValueError for the structure of a net that cannot be compared."""
    try:
        hash(value)
    except TypeError as error:
        raise ValueError(
            f"{name}; expected hashable attributes and options; pass tuples instead of "
            "lists and arrays"
        ) from error


def flag(name: str, value: Any) -> None:
    """Raises TypeError unless `value` is True or False."""
    instance(name, value, bool | np.bool_, "True or False")


def optional_flag(name: str, value: Any) -> None:
    """Raises TypeError unless `value` is True or False; None leaves it open."""
    if value is not None:
        flag(name, value)


def attack(name: str, value: Any) -> None:
    """Raises TypeError unless `value` has the functions of an attack."""
    _parts(name, value, "finish", "an attack, such as attacks.pgd()")


def shared_attack(name: str, value: Any) -> None:
    """Raises TypeError unless `value` has the functions of a shared attack."""
    _parts(name, value, "place", "a shared attack, such as attacks.universal()")


def _parts(name: str, value: Any, last: str, wanted: str) -> None:
    is_class, parts = isinstance(value, type), ("init", "step", last, "steps")
    if is_class or not all(hasattr(value, part) for part in parts):
        raise TypeError(f"{name}={shown(value)}; expected {wanted}")


def sequence(name: str, value: Any) -> None:
    """Raises TypeError unless `value` is a tuple or a list with something in it."""
    if not isinstance(value, tuple | list) or not value:
        raise TypeError(f"{name}={shown(value)}; expected a tuple of one or more")


def path(name: str, value: Any, of: str = "a file") -> None:
    """Raises TypeError unless `value` may be the name of a file, or of what is said."""
    is_class = isinstance(value, type)
    if is_class or (not isinstance(value, str) and not hasattr(value, "__fspath__")):
        raise TypeError(f"{name}={shown(value)}; expected the name of {of}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value as a sentence may hold it: one line, and no more of it than fits."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # Whatever a foreign object raises.
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def positive_number(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a finite number > 0."""
    holds(name, value, lambda v: math.isfinite(v) and v > 0, "a finite number > 0")


def non_negative_number(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a finite number >= 0."""
    holds(name, value, lambda v: math.isfinite(v) and v >= 0, "a finite number >= 0")


def interval(name: str, value: Any) -> tuple[float, float]:
    """Two finite numbers, the lower one first.

    Raises: ValueError: anything else.
    """
    pair = tuple(value) if isinstance(value, tuple | list) else ()
    if len(pair) == 2 and all(map(is_number, pair)):
        low, high = map(float, pair)
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return low, high
    raise ValueError(
        f"{name}={shown(value)}; expected two numbers, the lower one first, such as "
        "(0, 1), (0, 255) or (-1, 1)"
    )


def share(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a number in (0, 1)."""
    holds(name, value, lambda v: 0 < v < 1, "a number in (0, 1)")


def known_name(kind: str, value: Any, known: Iterable[str]) -> None:
    """Raises ValueError with the known names and the nearest one, however spelt."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        by_letters = {_letters(name): name for name in names}
        near = difflib.get_close_matches(_letters(value), by_letters, n=1, cutoff=0.5)
        hint = f"; did you mean {by_letters[near[0]]!r}?" if near else ""
        listed = ", ".join(sorted(names))
        raise ValueError(f"unknown {kind} {shown(value)}{hint} (known: {listed})")


def _letters(name: Any) -> str:
    """What is left of "APGD-CE" or "apgd_ce" where spelling does not count."""
    return "".join(filter(str.isalnum, shown(name))).lower()


def threat(attack: str, given: Any, *names: str) -> None:
    """Raises ValueError unless a threat has one of the names, such as "l2"."""
    if given.name not in names:
        known = " or ".join(name.capitalize() for name in names)
        raise ValueError(
            f"threat={type(given).__name__}; expected {known} for {attack}"
        )
