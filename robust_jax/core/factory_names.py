"""Functions by the name of their module, as a command or a file says them."""

import difflib
import importlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from robust_jax.core import checks

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_LISTED = 20  # More names than this do not fit a sentence.


def named_function(spec: str, argument: str) -> Callable[..., Any]:
    """The function or class that "package.module:name" names; imports the module.

    Args:
        spec: such as "package.module:name".
        argument: what to call it in a sentence, such as "--model".
    Raises: ValueError: a text of another form, a name that the module lacks, with the
        nearest one. ImportError: no such module, or one that fails, and how.
        TypeError: what is no text, a name of what cannot be called.

    >>> from robust_jax.core.factory_names import named_function
    >>> named_function("math:sqrt", "--model")(4.0)
    2.0
    """
    check_form(spec, argument)
    source, _, name = spec.partition(":")
    module = _imported(source, spec, argument)
    if not hasattr(module, name):
        try:
            checks.known_name(f"name in {source}", name, _names(module, name))
        except ValueError as error:
            raise ValueError(f"{argument}={spec}; {error}") from error
    found = getattr(module, name)
    if not callable(found):
        raise TypeError(
            f"{argument}={spec}; {name} is {checks.shown(found)}; expected a function "
            "or a class"
        )
    return found


def check_form(spec: str, argument: str) -> None:
    """Raises unless a text is of the form "package.module:name"; imports nothing."""
    checks.instance(argument, spec, str, "a text such as 'package.module:name'")
    if not _FORM.fullmatch(spec):
        raise ValueError(
            f"{argument}={checks.shown(spec)}; expected package.module:name, such as "
            "mynets.resnet:make"
        )


def _imported(source: str, spec: str, argument: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except (Exception, SystemExit) as error:  # Whatever foreign code raises.
        absent = isinstance(error, ModuleNotFoundError) and error.name
        if absent and f"{source}.".startswith(f"{absent}."):
            raise ImportError(
                f"{argument}={spec}; no module {absent} is found; run the command in "
                "its folder, or set PYTHONPATH"
            ) from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImportError(
            f"{argument}={spec}; importing {source} fails ({reason:.200}); mend it, or "
            "install what it needs"
        ) from error


def _names(module: ModuleType, wanted: str) -> list[str]:
    """What can be called in a module, its own alone if there are any, the nearest."""
    public = {k: v for k, v in vars(module).items() if k[0] != "_" and callable(v)}
    own = [k for k, v in public.items() if _home(v) == module.__name__]
    names = own or list(public)
    return difflib.get_close_matches(wanted, names, n=_LISTED, cutoff=0.0)


def _home(value: Any) -> Any:
    return getattr(value, "__module__", None)
