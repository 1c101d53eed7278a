"""One attack on a batch: what a user calls, and what it is made of (host)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from robust_jax import attacks
from robust_jax.core import array_checks, boxes, checks, drive, facts, lift
from robust_jax.core.compiling import own_settings
from robust_jax.core.types import (
    Attack,
    AttackResult,
    LogitsFn,
    Reach,
    Threat,
    Untargeted,
)
from robust_jax.evaluate.examples import checked
from robust_jax.report.progress import of_a_call


@own_settings()
def attack(
    attack: Attack | str,
    model: Any,
    images: Any,
    labels: Any,
    threat: Threat,
    *,
    targets: Any = None,
    takes: str | None = None,
    ids: Any = None,
    seed: int = 0,
    to_the_end: bool | None = None,
    unvouched: bool = False,
    progress: bool | None = None,
) -> AttackResult:
    """What an attack makes of each image of a batch.

        >>> images, labels = np.array([[0.6], [0.9]], np.float32), np.array([0, 0])
        >>> net = lambda x: jnp.array([1.0, -1.0]) * (x[0] - 0.5)
        >>> found = rj.attack("fgsm", net, images, labels, rj.threats.Linf(0.2))
        >>> found.x_adv.ravel(), found.margin
        (array([0.4, 0.7], dtype=float32), array([ 0.2, -0.4], dtype=float32))

    Guarantees: an image's result depends on no other image: it is the same in any
    order, subset and batch; it is feasible; deterministic in ids and seed.
    Edge cases: an image that the model gets wrong comes back as it is, margin >= 0.

    Args:
        attack: such as `attacks.pgd(10)`, or a name of `attacks.list()`.
        model, images, labels, takes, ids, seed: as in `evaluate.robustness`.
        threat: such as `threats.Linf(8 / 255)`; of minimum-norm attacks, a cap.
        targets: shape [B], classes that the images must be taken for; by default any
            class but the label is a success.
        to_the_end: whether to go on after the first success, to the largest margin or
            the least distance; by default of minimum-norm attacks, and where the
            radius is infinite.
        unvouched: whether to run it under a threat that nobody vouches for.
        progress: whether a bar shows how far it is; by default on a terminal.
    Returns: `x_adv` [B, *S], `margin`, adversarial if >= 0, `distance`, `forwards` and
        `backwards`, each [B]; NumPy arrays.
    Raises: ValueError, TypeError: bad arguments, in one sentence.
    """
    attack = named(attack, unvouched)
    checks.optional_flag("to_the_end", to_the_end)
    checks.optional_flag("progress", progress)
    boxes.check_kind(threat)
    facts.check_use(attack, threat)
    radii = array_checks.numbers_of("eps", threat.eps, "a radius, or one per image")
    is_open, known = bool(np.isinf(radii).any()), facts.of(attack)
    is_cap = is_open or (known is not None and known.finds == facts.NEAREST)
    net, of, threat = checked(
        model, images, labels, threat, ids, seed, lift.TILE, cap=is_cap, takes=takes
    )
    goal: Untargeted | Reach = Untargeted(of.labels)
    if targets is not None:
        array_checks.labels(targets, len(of.labels), of.logits.shape[1], name="targets")
        goal = Reach(np.asarray(targets, np.int32))
    if to_the_end is None:
        to_the_end = is_cap
    given = of.ids, net.logits_fn, threat, of.images, goal
    with of_a_call(len(of.labels), "attack", "image", progress) as bar:
        how: dict[str, Any] = {"seed": seed, "to_the_end": bool(to_the_end)}
        found = run_on(attack, *given, **how, on_tile=bar.update)
    return found._replace(x_adv=net.outward(found.x_adv))


def named(attack: Attack | str, unvouched: bool = False) -> Attack:
    """An attack as it is, or the one of a name, with the paper's numbers.

    Raises: ValueError: an unknown name. TypeError: what is no attack.
    """
    checks.flag("unvouched", unvouched)
    if isinstance(attack, str):
        entry = attacks.by_name(attack)
        if entry.targets > 1:
            raise ValueError(
                f"attack={attack!r} is run towards {entry.targets} targets in turn; "
                "expected one run; pass evaluate.Stage with goals=likeliest_targets("
                f"{entry.targets}) where stages are taken, or targets="
            )
        attack = entry.make()
    checks.attack("attack", attack)
    return facts.unvouched(attack) if unvouched else attack


def run_on(
    attack: Attack,
    ids: np.ndarray,
    model: LogitsFn,
    threat: Threat,
    x: Any,
    goal: Any,
    *,
    seed: int = 0,
    stage: int = 0,
    target: int = 0,
    restart: int = 0,
    to_the_end: bool = False,
    tile: int = lift.TILE,
    on_tile: Callable[[int], None] | None = None,
    driver: Callable[..., drive.RunMany] = drive.auto,
) -> AttackResult:
    """An attack on checked examples, in tiles, with keys by seed, ids and the item.

    Args:
        attack, model, threat, x, goal, to_the_end: as the driver takes them.
        ids: of the examples, [B].
        seed, stage, target, restart: see `lift.item_keys`.
        tile, on_tile: see `lift.in_tiles`.
        driver: `drive.auto`, or one like it.
    """
    run = lift.in_tiles(
        driver(attack, to_the_end=to_the_end), tile=tile, on_tile=on_tile
    )
    names = {"stage": stage, "target": target, "restart": restart}
    result: AttackResult = run(
        lift.item_keys(seed, ids, **names), model, threat, x, goal
    )
    return result
