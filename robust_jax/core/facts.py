"""What is known of an attack: the threats it is vouched for, what it finds and sees.

`attack` puts the facts on a factory; `check_use` asks them before an attack is run.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from robust_jax.core.factories import Product, as_product, factory
from robust_jax.core.types import Attack, ParametricThreat, Threat

_P = ParamSpec("_P")
_A = TypeVar("_A", bound=Attack[Any])

WITHIN = "fixed budget"  # Looks for any success within eps.
NEAREST = "minimum norm"  # Looks for the nearest success; eps is a cap.
GRADIENTS, SCORES, LABELS = "gradients", "scores", "labels"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Setting(NamedTuple):
    """Arguments of an attack under which the catalog lists it by a name of its own."""

    arguments: Mapping[str, Any] = _NOTHING
    paper: str = ""  # that of the attack if empty
    per_step: tuple[int, int] | None = None  # that of the attack if none
    targets: int = 1  # times that it is run, each towards another class
    least_classes: int = 0  # that of the attack if none
    short: Mapping[str, Any] = _NOTHING


class Facts(NamedTuple):
    """What is known of the attacks of one factory, at its default settings."""

    paper: str
    norms: tuple[str, ...]  # the threats that it is vouched for, by `Threat.name`;
    # none: those of the attack that it is given
    finds: str = WITHIN
    sees: str = GRADIENTS
    per_step: tuple[int, int] = (1, 1)  # forwards and backwards of one step
    least_classes: int = 2
    short: Mapping[str, Any] = _NOTHING  # a setting within a budget of 1,000
    settings: Mapping[str, Setting] = _NOTHING  # by the catalog's names


def attack(
    *fixed: str,
    paper: str,
    norms: tuple[str, ...],
    finds: str = WITHIN,
    sees: str = GRADIENTS,
    per_step: tuple[int, int] = (1, 1),
    least_classes: int = 2,
    short: Mapping[str, Any] = _NOTHING,
    settings: Mapping[str, Setting] = _NOTHING,
    derives: bool = False,
) -> Callable[[Callable[_P, _A]], Callable[_P, _A]]:
    """A decorator: `core.factories.factory` for attacks, with their facts.

        @attack(paper="Rony et al., CVPR 2019", norms=("l2",), finds=NEAREST)
        def ddn(steps: int = 100, gamma: float = 0.05, ...) -> Attack: ...

    Args:
        fixed: as in `factory`.
        paper, norms, finds, sees, per_step, least_classes, short, settings: `Facts`.
        derives: the body makes Python numbers of its arguments and returns what a
            factory makes of them; it is run once.
    """
    facts = Facts(paper, norms, finds, sees, per_step, least_classes, short, settings)

    def decorate(function: Callable[_P, _A]) -> Callable[_P, _A]:
        made = _deriving(function) if derives else factory(*fixed)(function)
        vars(made)["facts"] = vars(function)["facts"] = facts
        return made

    return decorate


def of(made: Attack[Any]) -> Facts | None:
    """The facts of an attack; None of one made by hand, or from parts of one's own.

    What runs another attack shares its sight, and its threats if it has none of its
    own; an attack whose gradient is estimated from scores sees scores.
    """
    facts = vars(made.written_by).get("facts") if isinstance(made, Product) else None
    if facts is None:
        return None
    given = cast(Any, made).written
    if "attack" in given:
        inner = of(given["attack"])
        if inner is None:
            return None
        return facts._replace(norms=facts.norms or inner.norms, sees=inner.sees)
    if given.get("gradient") is not None and facts.sees == GRADIENTS:
        sees = GRADIENTS if given["gradient"].backwards else SCORES
        return facts._replace(sees=sees)
    return facts


def unvouched(made: _A) -> _A:
    """The same attack, to be run under threats that it is not vouched for."""
    product: Any = as_product(made)
    return cast(_A, product.as_unvouched())


def is_unvouched(made: Attack[Any], threat: Threat) -> bool:
    """Whether an attack runs under a threat that it is not vouched for."""
    facts = of(made)
    return facts is not None and threat.name not in facts.norms


def noted(name: str, made: Attack[Any], threat: Threat) -> str:
    """A name in a report, which says if nobody vouches for the attack there."""
    if not is_unvouched(made, threat):
        return name
    return f"{name} (not vouched for under {type(threat).__name__})"


def check_use(made: Attack[Any], threat: Threat, *, finds: str | None = None) -> None:
    """Raises ValueError for an attack that is not vouched for under a threat.

    Args:
        made: of the library: of an attack by hand nothing is known, and all is allowed.
        threat: of one example or of a batch.
        finds: what the caller wants found, if only one of `WITHIN` and `NEAREST`.
    """
    facts = of(made)
    if facts is None or cast(Any, made).structure.unvouched:
        return
    name, given = cast(Any, made).written_by.__name__, type(threat).__name__
    if threat.name not in facts.norms and isinstance(threat, ParametricThreat):
        raise ValueError(
            f"threat={given} limits parameters, and {name} moves pixels; make it one "
            "on parameters by attacks.through(attack)"
        )
    if threat.name not in facts.norms:
        raise ValueError(
            f"threat={given}; expected {_as_typed(facts.norms)} for {name}, which "
            f"nobody vouches for under {given}; pass unvouched=True to run it all the "
            "same"
        )
    if finds == NEAREST and facts.finds != NEAREST:
        raise ValueError(
            f"attack={name} has a fixed budget; expected one of minimum norm, such as "
            f"fmn or minimise_radius({name}(...)); pass unvouched=True to run it all "
            "the same"
        )


def _as_typed(norms: tuple[str, ...]) -> str:
    """As in "threats.Linf, threats.L2 or threats.L1"."""
    camel = ("".join(map(str.capitalize, norm.split("-"))) for norm in norms)
    *most, last = (f"threats.{name}" for name in camel)
    return f"{', '.join(most)} or {last}" if most else last


def _deriving(function: Callable[_P, _A]) -> Callable[_P, _A]:
    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _A:
        made: Any = function(*args, **kwargs)
        return cast(_A, made.known_as(wrapper, *args, **kwargs))

    return wrapper
