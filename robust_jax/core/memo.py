"""Equal arguments, same object: what keeps compiled programs alive between calls.

For what holds programs, or is a constant of them; what has numbers that programs take
as arguments is made by `core.factories`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_T = TypeVar("_T")


def memoised(factory: Callable[_P, _T]) -> Callable[_P, _T]:
    """A factory that returns the same object for equal arguments.

    Closures are equal only if they are the same, and programs are kept per function.
    With this, equal arguments share theirs, however they are written.
    Arguments of different types differ: `True` and `1.0` do not pass for a known `1`.

    Raises: TypeError: at the call, if an argument is not hashable.
    """
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return cast(_T, _made(factory, *bound.args, **bound.kwargs))

    return wrapper


@functools.lru_cache(maxsize=2048, typed=True)
def _made(factory: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return factory(*args, **kwargs)


def forget() -> None:
    """Lets go of all that factories have returned; they make it again."""
    _made.cache_clear()
