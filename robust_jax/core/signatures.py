"""Arguments of factories, bound to their names, or a sentence."""

import inspect
from typing import Any

_THEIRS = {  # What other libraries call it.
    "eps": "eps is the threat's, as in threats.Linf(eps)",
    "alpha": "alpha is relative_step here, a share of eps",
    "step_size": "step_size is relative_step here, a share of eps",
    "nb_iter": "nb_iter is steps here",
    "n_iter": "n_iter is steps here",
    "iters": "iters is steps here",
}


def bound(
    name: str, signature: inspect.Signature, args: Any, kwargs: Any
) -> inspect.BoundArguments:
    """The arguments of a call by name.

    Raises: TypeError: arguments that the signature does not have.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        known = ", ".join(signature.parameters)
        unknown = set(kwargs) - set(signature.parameters)
        hints = [hint for theirs, hint in _THEIRS.items() if theirs in unknown]
        said = [f"{name}: {error}; expected some of {known}", *hints]
        raise TypeError("; ".join(said)) from error
