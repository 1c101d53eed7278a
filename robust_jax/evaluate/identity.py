"""What an evaluation is of, as plain values: the header of its journal."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex

from robust_jax.core import closures, compiling, exports, faces, factories, lift
from robust_jax.core.streams import OfPlan
from robust_jax.core.types import LogitsFn, ParametricThreat, Threat
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.engine import Examples, Layout, Work
from robust_jax.evaluate.engine.programs import traced
from robust_jax.evaluate.stages import Plan
from robust_jax.interop.host import name_of

_PROBES = 64  # Points at which a model on the host is asked once more.


def describe(threat: Threat) -> str:
    """The threat in words: norm and radius, and what narrows it."""
    given = faces.given(threat)
    parts: list[str] = [name for name in ("mask", "scale") if name in given]
    if "lattice" in given:
        parts.append(f"lattice of {float(given['lattice']):.4g}")
    narrowed = f" with {' and '.join(parts)}" if parts else ""
    radii = np.unique(np.asarray(threat.eps, np.float64))
    if len(radii) == 1:
        return f"{threat.name} eps={radii[0]:.4g}{narrowed}"
    return f"{threat.name} eps={radii[0]:.4g} to {radii[-1]:.4g}{narrowed}"


def threat_flags(threat: Threat) -> dict[str, Any]:
    """A threat for a record: in words, its norm, its radius or the least and most."""
    radii = np.unique(np.asarray(threat.eps, np.float64))
    eps = float(radii[0]) if len(radii) == 1 else [float(radii[0]), float(radii[-1])]
    return {"threat": describe(threat), "norm": threat.name, "eps": eps}


def plan_flag(plan: str | Plan) -> Any:
    """A plan for a record: its name, or the name and setting of each stage."""
    if isinstance(plan, str):
        return plan
    return [
        f"{stage.name}: {stage.attack!r}, restarts={stage.restarts}"
        if isinstance(stage.attack, factories.Product)
        else stage.name
        for stage in plan
    ]


def identity(
    plan: Plan,
    works: Sequence[Work],
    logits_fn: LogitsFn,
    threat: Threat,
    layout: Layout,
    *,
    seed: int,
    retire: bool,
) -> dict[str, Any]:
    """All that finished work items depend on.

    Attacks and net are known by the programs that they are traced to, and by their
    numbers and weights, wherever those are kept. A model on the host has no program:
    its name stands for it, and its answers at the images and at points around them.

    Args:
        plan: the stages.
        works: of each stage, for one example or more.
        logits_fn: the model on one example.
        threat: with its radii and box.
        layout: of which the tile counts.
        seed: of all draws.
        retire: see `robustness`.
    Raises: ValueError: a model on the host without a name.
    """
    examples = works[0].examples
    programs = [
        traced(factories.as_product(stage.attack), logits_fn, work.inputs([None]))
        for stage, work in zip(plan, works, strict=True)
    ]
    named = sorted({n for two in programs for one in two for n in _hosts(one)})
    around = exports.surroundings(layout.devices)
    probes = _probes(threat, examples, seed) if named else examples.images[:0]
    return {
        "plan": [
            [stage.name, stage.attack.steps, stage.restarts, work.targets]
            for stage, work in zip(plan, works, strict=True)
        ],
        "threat": describe(threat),
        "radii": _digest(np.float32(threat.eps)),
        "threat set": _digest(
            str(jax.tree.structure(threat)),
            *(np.float32(bound) for bound in jax.tree.leaves(threat)),
        ),
        "seed": seed,
        "tile": layout.tile,
        "retire": retire,
        "examples": _digest(examples.images, examples.labels, examples.ids),
        "goals": _digest(*(field for work in works for field in work.goals)),
        "weights of the model": _digest(*jax.tree.leaves(logits_fn)),
        "clean logits of the model": _digest(examples.logits),
        "models on the host": named,
        "answers between": _digest(predict(logits_fn, probes, layout.tile))
        if named
        else None,
        "library, versions, devices and settings": _digest(*around),
        "programs of the attacks": [
            _digest(
                *(program.lower().as_text() for program in pair),
                *(number for program in pair for number in _held(program.jaxpr)),
                *jax.tree.leaves(factories.as_product(stage.attack)),
            )
            for stage, pair in zip(plan, programs, strict=True)
        ],
    }


def _held(program: jex.ClosedJaxpr) -> Iterator[Any]:
    """Its numbers; a setting of JAX takes them out of its text."""
    yield from program.consts
    yield from closures.held(program.jaxpr)


def _hosts(traced: Any) -> Iterator[str]:
    """The names of the functions on the host that a program calls back.

    Raises: ValueError: one without a name.
    """
    for equation in closures.equations(traced.jaxpr.jaxpr):
        primitive = equation.primitive.name
        if "callback" in primitive and not primitive.startswith("debug"):
            name = name_of(equation.params.get("callback"))
            if name is None:
                raise ValueError(
                    "journal: the model, or an attack, calls a function on the host, "
                    "which nothing tells from another one; say which it is by "
                    "from_host(..., name='...'), or leave journal out"
                )
            yield name


def _probes(threat: Threat, examples: Examples, seed: int) -> np.ndarray:
    """Drawn points inside the threat set of the first examples, [M, *S]."""
    some = np.arange(min(_PROBES, len(examples.images)))
    x = examples.images[some]
    around = lift.threat_on_host(lift.threat_of(threat, examples.images, some), x)
    keys = lift.item_keys(seed, examples.ids[some], stage=OfPlan.IDENTITY)
    return np.asarray(compiling.compiled(jax.vmap(_drawn), brief=True)(around, keys, x))


def _drawn(threat: Threat, key: Any, x: Any) -> Any:
    if isinstance(threat, ParametricThreat):
        return threat.apply(x, threat.sample(key, threat.start(x)))
    return threat.sample(key, x)


def _digest(*parts: Any) -> str:
    """Of texts and arrays, their types and shapes included."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            content, kind = part.encode(), "text"
        else:
            if jax.dtypes.issubdtype(getattr(part, "dtype", None), jax.dtypes.prng_key):
                part = jax.random.key_data(part)
            array = np.asarray(part)
            content, kind = np.ascontiguousarray(array).tobytes(), f"{array.dtype}"
            kind += str(array.shape)
        total.update(f"{kind} {len(content)} ".encode() + content)
    return total.hexdigest()
