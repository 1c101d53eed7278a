"""The fake defences by name: how to make each, how strong, what must expose it."""

from collections.abc import Callable
from typing import NamedTuple

from jax.tree_util import Partial
from jax.typing import ArrayLike

from robust_jax.core import checks
from robust_jax.core.types import LogitsFn
from robust_jax.models import fake_heads, fake_inputs, fakes

STRENGTHS = ("full", "mild")


class Strength(NamedTuple):
    """The numbers of one strength, and the audit's checks that it must raise.

    None of them where a whole plan is not fooled: its number is that of the net.
    """

    knobs: dict[str, float]  # the factory's keyword arguments
    checks: tuple[int, ...]  # every one of them is to be raised


class Fake(NamedTuple):
    """One fake defence; `make` puts it around a net.

    Args:
        factory: the function of `models.fakes`, `fake_heads` or `fake_inputs`.
        full: at full strength.
        mild: at mild strength.
        takes: what a call takes: "example", [*S] -> [K]; "batch", [B, *S] -> [B, K];
            "example and key", ([*S], key) -> [K].
        needs: which of "images" and "labels" the factory takes after the net.
        training: what the net must be trained for, or accuracy is lost: "any",
            "k_winners" (behind this fake) or "noise" (behind Gaussian noise).
    """

    factory: Callable[..., Partial]
    full: Strength
    mild: Strength
    takes: str = "example"
    needs: tuple[str, ...] = ()
    training: str = "any"

    @property
    def name(self) -> str:
        """The name, in the field's words."""
        return self.factory.__name__

    @property
    def why(self) -> str:
        """Why people are fooled, and the remedy."""
        return self.factory.__doc__ or ""

    def make(
        self,
        base: LogitsFn,
        strength: str = "full",
        *,
        images: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> Partial:
        """The fake around a net, a pytree; see `takes` for how to call it.

        Args:
            base: the net, [*S] -> [K], best a Partial, so that weights are arguments.
            strength: one of `STRENGTHS`.
            images: the examples that will be evaluated, shape [N, *S]; see `needs`.
            labels: their classes, shape [N].
        Raises: ValueError: an unknown strength; data that the fake needs, not given.
        """
        checks.known_name("strength", strength, STRENGTHS)
        given = {"images": images, "labels": labels}
        for name in self.needs:
            if given[name] is None:
                raise ValueError(
                    f"{name}=None; expected the evaluated {name}, which {self.name} "
                    f"looks at; pass {name}=..."
                )
        knobs = (self.full if strength == "full" else self.mild).knobs
        return self.factory(base, *(given[name] for name in self.needs), **knobs)


_FAKES = (
    Fake(
        fakes.gradient_killer,
        full=Strength({"share": 1.0}, (6,)),
        mild=Strength({"share": 0.5}, (6,)),
    ),
    Fake(
        fakes.quantised,
        full=Strength({"levels": 4}, (6,)),
        mild=Strength({"levels": 32}, (6,)),
    ),
    Fake(
        fakes.temperature,
        full=Strength({"factor": 1000.0}, (2,)),
        mild=Strength({"factor": 30.0}, (2,)),
    ),
    Fake(
        fakes.extra_softmax,
        full=Strength({"scale": 1.0}, (2,)),
        mild=Strength({"scale": 10.0}, (2,)),
    ),
    Fake(
        fakes.k_winners_take_all,
        full=Strength({"share": 0.05}, (5,)),
        mild=Strength({"share": 0.2}, (5,)),
        training="k_winners",
    ),
    Fake(
        fakes.input_noise,
        full=Strength({"sigma": 0.25}, (21,)),
        # At 0.05, 16 samples leave 3 to 6 % of the verdicts open: what check 21 allows.
        mild=Strength({"sigma": 0.1}, (21,)),
        takes="example and key",
        training="noise",
    ),
    Fake(
        fakes.hash_noise,
        full=Strength({"sigma": 0.25}, (5,)),
        mild=Strength({"sigma": 0.05}, (5,)),
        training="noise",
    ),
    Fake(
        fakes.detached_preprocessing,
        full=Strength({"even": -1e-3, "odd": -1e-3}, (5,)),
        mild=Strength({"even": 1.0, "odd": 0.0}, (5,)),
    ),
    Fake(
        fakes.batch_normalised,
        full=Strength({"share": 1.0}, (1,)),
        mild=Strength({"share": 0.3}, (1,)),
        takes="batch",
    ),
    Fake(
        fakes.label_leak,
        full=Strength({"lead": 100.0}, (1,)),
        mild=Strength({"lead": 2.0}, (1,)),
        takes="batch",
        needs=("images", "labels"),
    ),
    Fake(
        fakes.nan_off_data,
        full=Strength({}, (1, 6)),
        mild=Strength({"logits_beyond": float("inf")}, (6,)),
        needs=("images",),
    ),
    Fake(
        fakes.constant_logits,
        full=Strength({"favour": 4.0}, (6, 17)),  # One-hot rows would be probabilities.
        mild=Strength({"slope": 1e-6, "offset": 8.0, "favour": 0.0}, (5,)),
    ),
    Fake(
        fake_heads.distraction,
        full=Strength({"bonus": 100.0, "waves": 30.0}, (27,)),
        mild=Strength({"bonus": 2.0, "waves": 8.0}, (27,)),
    ),
    Fake(
        fake_heads.decoy,
        full=Strength({"lead": 20.0}, (27,)),
        mild=Strength({"lead": 2.0}, (27,)),
    ),
    Fake(
        fake_heads.wavy_temperature,
        full=Strength({"depth": 3.0, "waves": 60.0}, ()),
        mild=Strength({"depth": 1.0, "waves": 8.0}, ()),
    ),
    Fake(
        fake_inputs.hashed_shift,
        full=Strength({"size": 0.2, "cells": 16.0}, (5,)),
        mild=Strength({"size": 0.05, "cells": 16.0}, (5,)),
        training="noise",
    ),
    Fake(
        fake_inputs.votes,
        full=Strength({"sharpness": 30.0, "size": 0.2}, (5,)),
        mild=Strength({"sharpness": 1.0, "size": 0.1}, ()),
        training="noise",
    ),
    Fake(
        fake_inputs.purified,
        full=Strength({"radius": 0.2}, (5,)),
        mild=Strength({"radius": 0.05}, (5,)),
    ),
    Fake(
        fake_inputs.detector,
        full=Strength({"level": 0.02}, ()),
        mild=Strength({"level": 0.01}, ()),
        training="noise",
    ),
)


def list_fakes() -> tuple[Fake, ...]:
    """All fake defences, in the order of the catalog."""
    return _FAKES


def by_name(name: str) -> Fake:
    """The fake defence of a name.

    Raises: ValueError: an unknown name, with the known ones.
    """
    table = {fake.name: fake for fake in _FAKES}
    checks.known_name("fake", name, table)
    return table[name]
