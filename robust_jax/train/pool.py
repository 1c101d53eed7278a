"""A pool of adversarial examples that training draws from, in memory on the device."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array, Attack, Key
from robust_jax.losses import classification
from robust_jax.models import BatchMode
from robust_jax.train import helpers
from robust_jax.train.helpers import StatefulObjective, ThreatFn
from robust_jax.train.objectives import standard
from robust_jax.train.state import ApplyFn, Aux, Batch


class Pool(NamedTuple):
    """N places for adversarial examples; of a place not yet filled nothing is read.

    >>> rj.train.Pool._fields
    ('points', 'labels', 'positions', 'age', 'loss', 'is_filled')
    """

    points: Array  # [N, *H] images, or outputs of a layer
    labels: Array  # [N] int32
    positions: Array  # [N] int32, of the clean image in the training set
    age: Array  # [N] int32, steps since it was made
    loss: Array  # [N] as last trained on, in nats; inf if never
    is_filled: Array  # [N] bool


class SplitNet(NamedTuple):
    """A net taken apart at a layer, whose output may be perturbed.

    logits = above_fn(variables, below_fn(variables, images), mode, key)[0].

    >>> net = rj.models.by_name("fc100_100_10")
    >>> threat_fn = lambda step: rj.threats.L2(0.5, -float("inf"), float("inf"))
    >>> split = rj.train.split_before(net, "Dense_1", (8, 8, 1), threat_fn)
    >>> split.shape
    (100,)
    """

    below_fn: Callable[[Any, Array], Array]  # [B, *S] -> [B, *H], evaluation mode
    above_fn: ApplyFn  # of the layer's outputs [*B, *H]
    threat_fn: ThreatFn  # training step -> threat in the space of the outputs
    shape: tuple[int, ...]  # *H


def pooled(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    *,
    shape: tuple[int, ...],
    size: int = 512,
    share: float = 0.5,
    replaced: int = 16,
    taken: int = 64,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> StatefulObjective:
    """Cross entropy on clean images, mixed with that on a pool of adversarial images.

    (1 - share) * mean over the batch + share * mean over `taken` images of the pool.
    Before that, every step puts adversarial examples of `replaced` random members of
    the batch, against the present net, into as many random places of the pool.
    Guarantees: shapes are fixed; at most `size` examples are kept; a place's label and
    position are those of the image it was made from; `share = 0` is `standard`, to the
    bit. The cost of the attack is replaced / B of adversarial training's.
    Edge cases: draws from the pool are with replacement, among the filled places; its
    examples are trained on their labels, even if the batch has targets.

    Args:
        apply_fn: the net.
        attack: an attack whose state has an `iterate`.
        threat_fn: training step -> threat.
        shape: the shape *S of one image.
        size: places of the pool, N.
        share: of the pool in the loss, in [0, 1).
        replaced: new examples a step, at most N and B.
        taken: examples of the pool that a step trains on.
        attack_mode: the net's batch mode under attack.
        mode: the net's batch mode in the loss; the clean batch goes first.
    Returns: the objective, and its memory: a tuple of one `Pool`.
    Raises: ValueError: an argument out of its range; at the first step, fewer images
        than `replaced`.
    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Sec. 4.2. Differs from the paper in: any attack of the library, rather than
        L-BFGS to the nearest error; the sizes, which the paper does not give.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> made = rj.train.pooled(apply_fn, rj.attacks.pgd(5), threat_fn, shape=(8, 8, 1))
    >>> made.memory[0].points.shape
    (512, 8, 8, 1)
    """
    split = SplitNet(lambda variables, images: images, apply_fn, threat_fn, shape)
    return pooled_at(
        apply_fn,
        attack,
        [split],
        size=size,
        share=share,
        replaced=replaced,
        taken=taken,
        attack_mode=attack_mode,
        mode=mode,
    )


def pooled_at(
    apply_fn: ApplyFn,
    attack: Attack,
    splits: Sequence[SplitNet],
    *,
    size: int,
    share: float = 0.5,
    replaced: int = 16,
    taken: int = 64,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> StatefulObjective:
    """As `pooled`, with a pool for each of several layers' outputs.

    The adversarial examples of a layer are its outputs plus a perturbation in their
    space that misleads the layers above; they train the layers above alone. The paper
    found those of higher layers more useful than those of images.
    Guarantees: no gradient of a pool's loss reaches the layers below its split.

    Args:
        apply_fn: the net, for the clean images.
        splits: of the net, see `split_before`, each with its own threat.
        size, share, replaced, taken: as of `pooled`; `share` is of all pools together.
        attack, attack_mode, mode: as of `pooled`.
    Returns: the objective, and its memory: a `Pool` for each split.
    Raises: ValueError: no split; else as `pooled`.
    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Sec. 4.2. Differs from the paper in: all pools and the clean images share every
        step, rather than alternate; perturbations have a radius; see `pooled`.

    >>> net = rj.models.by_name("fc100_100_10")
    >>> threat_fn = lambda step: rj.threats.L2(0.5, -float("inf"), float("inf"))
    >>> split = rj.train.split_before(net, "Dense_1", (8, 8, 1), threat_fn)
    >>> attack, apply_fn = rj.attacks.pgd(5), rj.models.ApplyMode(net)
    >>> made = rj.train.pooled_at(apply_fn, attack, [split], size=64)
    >>> made.memory[0].points.shape
    (64, 100)
    """
    _check(splits, size, share, replaced, taken)
    clean_of = standard(apply_fn, mode=mode)
    memory = tuple(_empty(split.shape, size) for split in splits)
    if share == 0:
        return StatefulObjective(clean_of, memory)
    fresh_fns = [_fresh(split, attack, replaced, attack_mode) for split in splits]

    def objective(variables, batch, key, step):
        pools, losses, shares = [], [], []
        fresh = batch.attacked
        if fresh is None:
            fresh = [
                fresh_fn(variables, batch, _names(key, layer)[0], step)
                for layer, fresh_fn in enumerate(fresh_fns)
            ]
        loss, aux = clean_of(variables, batch, key, step)
        variables = aux.variables
        before = zip(splits, helpers.remembered(batch), fresh, strict=True)
        for layer, (split, pool, new) in enumerate(before):
            _, place_key, draw_key, noise_key = _names(key, layer)
            pool = _with(pool, new, jax.random.permutation(place_key, size)[:replaced])
            index = jax.random.choice(draw_key, size, (taken,), p=_odds(pool))
            points, labels = pool.points[index], pool.labels[index]
            logits, variables = split.above_fn(variables, points, mode, noise_key)
            nats = jax.vmap(classification.cross_entropy)(logits, labels)
            seen = pool.loss.at[index].set(jax.lax.stop_gradient(nats))
            pools.append(pool._replace(loss=seen))
            losses.append(jnp.mean(nats))
            shares.append(helpers.accuracy(logits, labels))
        metrics = {**aux.metrics, "pool_accuracy": jnp.mean(jnp.stack(shares))}
        total = (1 - share) * loss + share * jnp.mean(jnp.stack(losses))
        return total, Aux(metrics, variables, tuple(fresh), tuple(pools))

    return StatefulObjective(objective, memory)


class _Fresh(NamedTuple):
    """New adversarial examples, [R] of each."""

    points: Array
    labels: Array
    positions: Array


def _fresh(
    split: SplitNet, attack: Attack, replaced: int, mode: BatchMode
) -> Callable[[Any, Batch, Key, Array], _Fresh]:
    perturb = helpers.perturber(split.above_fn, attack, split.threat_fn, mode)

    def fresh(variables, batch, key, step):
        n = batch.labels.shape[0]
        if n < replaced:
            raise ValueError(
                f"replaced={replaced} for a batch of {n}; expected at most as many"
            )
        members, attack_key = jax.random.split(key)
        chosen = jax.random.permutation(members, n)[:replaced]
        few = Batch(*(field[chosen] for field in batch[:3]))
        frozen = jax.lax.stop_gradient(variables)
        few = few._replace(images=split.below_fn(frozen, few.images))
        points = perturb(frozen, few, attack_key, step)
        return _Fresh(points, few.labels, few.positions)

    return fresh


def _names(key: Key, layer: int) -> Key:
    """Keys of the new examples, of their places, of the draw and of dropout."""
    return jax.random.split(jax.random.fold_in(helpers.second_key(key), layer), 4)


def _with(pool: Pool, fresh: _Fresh, places: Array) -> Pool:
    """A step older, with the new examples in those places."""
    return Pool(
        points=pool.points.at[places].set(fresh.points),
        labels=pool.labels.at[places].set(fresh.labels),
        positions=pool.positions.at[places].set(fresh.positions),
        age=jnp.where(pool.is_filled, pool.age + 1, 0).at[places].set(0),
        loss=pool.loss.at[places].set(jnp.inf),
        is_filled=pool.is_filled.at[places].set(True),
    )


def _odds(pool: Pool) -> Array:
    return pool.is_filled / jnp.sum(pool.is_filled)


def _empty(shape: tuple[int, ...], size: int) -> Pool:
    none = jnp.zeros(size, jnp.int32)
    return Pool(
        points=jnp.zeros((size, *shape)),
        labels=none,
        positions=none - 1,
        age=none,
        loss=jnp.full(size, jnp.inf),
        is_filled=jnp.zeros(size, bool),
    )


def _check(splits, size, share, replaced, taken):
    if not splits:
        raise ValueError("splits=(); expected at least one")
    numbers = {"size": size, "replaced": replaced, "taken": taken}
    for name, value in numbers.items():
        checks.positive_integer(name, value)
    if replaced > size:
        raise ValueError(f"replaced={replaced}; expected at most size={size}")
    helpers.check_share("share", share)
