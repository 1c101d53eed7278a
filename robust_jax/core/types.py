"""The vocabulary of the library: goals, threats, attacks and their results.

Everything here describes ONE example; `core.lift` makes a batch of it.
"""

from collections.abc import Callable
from typing import (
    Any,
    Generic,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    runtime_checkable,
)

import jax
import numpy as np
from jax.typing import ArrayLike

from robust_jax.core.brief import brief, brief_html
from robust_jax.core.values import Value

Array = jax.Array
Key = jax.Array
LogitsFn = Callable[[Array], Array]  # [*S] -> [K], of one example


class Untargeted(Value):
    """Any class but the true one."""

    label: ArrayLike  # [] integer


class Towards(Value):
    """Climb the logit of `target`; any error is a success (AutoAttack's "targeted")."""

    label: ArrayLike  # [] integer
    target: ArrayLike  # [] integer, other than the label


class Reach(Value):
    """The example must be classified as `target` (Szegedy et al., ICLR 2014)."""

    target: ArrayLike  # [] integer


Goal = Untargeted | Towards | Reach


class Threat(Protocol):
    """What the adversary may do to one example.

    A pytree, so that radii and box are traced; `Value` gives `replace`.
    """

    @property
    def name(self) -> str: ...  # as the facts of attacks have it, such as "linf"

    @property
    def eps(self) -> Array | float: ...  # [] allowed radius, in the threat's norm

    @property
    def lower(self) -> Array | float: ...  # the box, pixel units: [], or broadcast to x

    @property
    def upper(self) -> Array | float: ...

    @property
    def counts(self) -> bool: ...  # whether radii are numbers of something

    @property
    def sums(self) -> bool: ...  # whether the norm adds up what coordinates give

    def measured(self, delta: np.ndarray) -> np.ndarray:
        """The sizes of displacements [N, *S] on the host, float64 [N].

        `inf` where a coordinate changes that must not. Shares no code with `distance`.
        """
        ...

    def largest(self, width: np.ndarray) -> tuple[float, str]:
        """The radius from which on any image of a box [N, *S] is allowed, in words."""
        ...

    def replace(self, **fields: ArrayLike | None) -> Self:
        """The same threat with other values in some fields, such as `eps`."""
        ...

    def project(self, x: Array, x0: Array) -> Array:
        """The nearest point (Euclidean) of ball and box together; all are [*S].

        Guarantees: feasible; x itself where it is.
        """
        ...

    def sample(self, key: Key, x0: Array) -> Array:
        """A random feasible point around x0 [*S]; deterministic in key."""
        ...

    def steepest(self, grad: Array, x: Array) -> Array:
        """The displacement [*S] of size eps that climbs `grad` [*S] the most.

        Of a zero gradient zero; box respected, see the norm.
        """
        ...

    def distance(self, x: Array, x0: Array) -> Array:
        """The size of x - x0 in the threat's norm, [], at least float32."""
        ...


class NormBall(Threat, Protocol):
    """A threat whose norm has a dual norm: all but L0."""

    def dual(self, grad: Array) -> Array:
        """The dual norm of grad [*S], []: what a step of size one climbs."""
        ...

    def cross(self, normal: Array, gap: ArrayLike, x: Array) -> Array:
        """The smallest displacement [*S] in the box that climbs `normal` by gap []."""
        ...


class PlacedThreat(Threat, Protocol):
    """A threat on one part of the image, such as a patch, that lies somewhere."""

    def room(self, x: Array) -> Array:
        """The last row and the last column at which the part may begin, [2] int32."""
        ...

    def paste(self, x: Array, canvas: Array, at: Array) -> Array:
        """x [*S] with the upper left corner of a canvas [*S] at row and column [2]."""
        ...


@runtime_checkable
class ParametricThreat(Threat, Protocol):
    """A threat on parameters z [*Z], which its other methods take in place of x."""

    def start(self, x: Array) -> Array:
        """The parameters that leave x as it is: zeros [*Z]."""
        ...

    def apply(self, x: Array, z: Array) -> Array:
        """The image that the parameters make, the shape of x."""
        ...


class Incumbent(NamedTuple):
    """The best point so far."""

    x: Array  # [*S]
    margin: Array  # [] adversarial iff >= 0
    distance: Array  # [] in the threat's norm


class AttackResult(NamedTuple):
    """What an attack found for one example, and what that cost."""

    x_adv: Array  # [*S]
    margin: Array  # [] adversarial iff >= 0; -inf if no finite logits were seen
    distance: Array  # [] in the threat's norm
    forwards: Array  # [] int32 model evaluations
    backwards: Array  # [] int32 gradients

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)


class State(Protocol):
    """The fields that every attack's state has; an attack adds what it needs.

    A state is a NamedTuple; `i` counts the calls of `step` of this example, since
    the slots of one batch may be out of phase. A further field `iterate`, if there is
    one, is what the next call of `step` evaluates.
    """

    @property
    def x(self) -> Array: ...  # [*S] the clean input

    @property
    def goal(self) -> Goal: ...

    @property
    def i(self) -> Array: ...  # [] int32

    @property
    def best(self) -> Incumbent: ...

    @property
    def forwards(self) -> Array: ...  # [] int32

    @property
    def backwards(self) -> Array: ...  # [] int32


S = TypeVar("S")  # The state of one kind of attack.
S_co = TypeVar("S_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)


class Init(Protocol[S_co]):
    """Makes the state before the first step; the model is not asked."""

    def __call__(
        self, key: Key, threat: Threat, x: Array, goal: Goal, logits: Array, /
    ) -> S_co:
        """The first state of one example.

        The driver puts the clean point into `best` afterwards, and counts its forward.

        Args:
            key: of this example's draws.
            threat: eps and box are scalars, or broadcast to x.
            x: the clean input, shape [*S].
            goal: fields of shape [].
            logits: the model's answer at x, shape [K].
        """
        ...


class Step(Protocol[S]):
    """Asks the model about the iterate, remembers the best point, and moves."""

    def __call__(self, logits_fn: LogitsFn, threat: Threat, state: S, /) -> S:
        """The state one call later: `i` grows by one, or by the calls passed over.

        An adversarial iterate is never lost: it is in `best` from then on.
        """
        ...


class Finish(Protocol[S_contra]):
    """Says what was found; the model is not asked."""

    def __call__(self, threat: Threat, state: S_contra, /) -> AttackResult:
        """The best point of a state, feasible, with its cost."""
        ...


class Done(Protocol[S_contra]):
    """Says whether another step can change the result."""

    def __call__(self, threat: Threat, state: S_contra, /) -> Array:
        """[] bool: won, or the budget used."""
        ...


class Attack(NamedTuple, Generic[S]):
    """Pure functions of one example; `vmap` makes a batch, a driver loops.

    Call i of `step` evaluates iterate i, then moves. `init` and `finish` do not call
    the model, so that refilling a slot of a running batch is a masked select.
    What a factory of the library gives (`core.factories`) is this and a pytree, whose
    leaves are the numbers of the attack: programs take it as an argument, and two
    settings share them. Of an attack made by hand the numbers are constants.
    """

    init: Init[S]
    step: Step[S]
    finish: Finish[S]
    done: Done[S]
    steps: int  # calls of `step` in the whole budget; traced in a program
    judge: Step[S] | None = None  # the last call without its move, for who would save
    # its gradient; None: call `step`


class SharedState(NamedTuple):
    """The state of an attack that finds one perturbation for many examples."""

    key: Key
    shared: Array  # what all examples get, such as a displacement or a patch
    rule: Any  # of the step rule
    i: Array  # [] int32, steps made
    value: Array  # [] the mean objective of the last batch


class SharedAttack(NamedTuple):
    """One perturbation for many examples: a contract of its own.

    A step sees a batch; what it finds depends on all the examples, unlike an `Attack`.
    """

    init: Callable[..., SharedState]  # (key, threat, x [*S]) -> state
    step: Callable[..., SharedState]  # (logits_fn, threat, state, x [B, *S], goal [B])
    place: Callable[..., Array]  # (key, threat, x [*S], shared) -> x_adv [*S], feasible
    steps: int
