"""Equal arguments, same object: what keeps compiled programs alive between calls."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def memoised(factory: Callable[_P, _T]) -> Callable[_P, _T]:
    """A factory that returns the same object for equal arguments.

    Attacks are made of closures, which are equal only if they are the same; programs
    are kept per attack. With this, `pgd(40)` and `pgd(steps=40)` share theirs.
    Arguments of different types differ: `True` and `1.0` do not pass for a known `1`.

    Raises: TypeError: at the call, if an argument is not hashable.
    """
    signature = inspect.signature(factory)
    cached = functools.lru_cache(maxsize=256, typed=True)(factory)

    @functools.wraps(factory)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return cached(*bound.args, **bound.kwargs)

    return wrapper
