"""A net that takes channels first is judged as the same net that takes channels last.

Its images, boxes and masks are in its own layout, and so is what comes back; attacks
and threats see channels last. Sides differ, so that no turn goes unnoticed.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import robust_jax as rj
from robust_jax import attacks, evaluate, interop, threats
from robust_jax.core import compilation, drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import Stage

N, H, W, C, K = 6, 8, 10, 3, 3
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0.2, 0.8, size=(N, H, W, C)).astype(np.float32)
FIRST = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
KERNEL = RNG.normal(size=(3, 3, C, 4)).astype(np.float32)  # One colour at a time:
KERNEL -= KERNEL.mean(axis=2, keepdims=True)  # grey squares are not seen.
HEAD = RNG.normal(size=(4, K)).astype(np.float32)
HOW = ("NHWC", "HWIO", "NHWC")


def last(weights, x):
    """A convolution, a mean over places of what is positive, and a head."""
    kernel, head, bias = weights
    found = jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "SAME", dimension_numbers=HOW
    )[0]
    return jax.nn.relu(found).mean((0, 1)) @ head + bias


def first(weights, x):
    return last(weights, jnp.moveaxis(x, 0, -1))


def own_convolution(weights, x):
    """As torch has it: kernels [O, I, H, W]."""
    kernel, head, bias = weights
    kernel = jnp.transpose(kernel, (3, 2, 0, 1))
    found = jax.lax.conv(x[None], kernel, (1, 1), "SAME")[0]
    return jax.nn.relu(found).mean((1, 2)) @ head + bias


BARE = KERNEL, HEAD, np.zeros(K, np.float32)
MEAN = np.asarray(jax.vmap(Partial(last, BARE))(IMAGES)).mean(axis=0)
WEIGHTS = jax.tree.map(jnp.asarray, (KERNEL, HEAD, -MEAN))  # No class leads everywhere.
LAST = Partial(last, WEIGHTS)
CHANNELS_FIRST = interop.channels_first(Partial(first, WEIGHTS))
LABELS = np.asarray(jax.vmap(LAST)(IMAGES)).argmax(axis=1)
SHOWN = RNG.uniform(size=(N, H, W, C)) < 0.7  # A mask of each image's own.
LOW = (IMAGES - RNG.uniform(size=(H, 1, C)) / 9).astype(np.float32)


def in_first(array):
    return np.moveaxis(array, -1, -3)


def in_full(names, rare):
    mark = pytest.mark.full
    return [pytest.param(n, marks=mark) if n in rare else n for n in names]


CASES = {  # An attack and a threat; further fields as an image [H, W, C] has them.
    "square": (attacks.square(40), threats.Linf(0.05), {}),
    "sparse-rs": (attacks.sparse_rs(20), threats.L0(3.0), {}),
    "patch": (attacks.pgd(3), threats.Patch(3.0), {}),
    "rotation": (
        attacks.through(attacks.grid((3, 3, 3))),
        threats.RotationTranslation(0.3),
        {},
    ),
    "input diversity": (attacks.di_fgsm(3), threats.Linf(0.05), {}),
    "an image's own": (attacks.square(20), threats.Linf(0.1), {"mask": SHOWN}),
    "a box": (attacks.pgd(3), threats.Linf(0.1), {"lower": LOW, "upper": 0.9}),
    "rows": (attacks.pgd(3), threats.Linf(0.1), {"scale": np.ones((H, 1, 1)) / 2}),
    "colours": (attacks.bim(3), threats.Linf(0.1), {"mask": np.array([1, 0, 1])}),
}


MORE = (
    "square",
    "sparse-rs",
    "a box",
    "rows",
    "colours",
)  # Fields by themselves: core's tests.


@pytest.mark.parametrize("name", in_full(CASES, MORE))
def test_an_attack_finds_the_same_bytes(name):
    attack, threat, fields = CASES[name]
    wanted = rj.attack(attack, LAST, IMAGES, LABELS, threat.replace(**fields))
    if name == "colours":
        fields = {"mask": np.array([1, 0, 1])[:, None, None]}
    if "scale" in fields:
        fields = {"scale": np.ones((1, H, 1)) / 2}
    fields = {k: in_first(v) if np.ndim(v) > 3 else v for k, v in fields.items()}
    found = rj.attack(attack, CHANNELS_FIRST, FIRST, LABELS, threat.replace(**fields))
    np.testing.assert_array_equal(found.x_adv, in_first(wanted.x_adv))
    for one, other in zip(found[1:], wanted[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert (found.x_adv != FIRST).any()


FGSM = (Stage("fgsm", attacks.fgsm()),)
SQUARE = (Stage("square", attacks.square(60)),)


def short(model, images, **how):
    plan = (*evaluate.basic(3, 1), *SQUARE)
    threat = threats.Linf(0.006)
    how = {"plan": plan, "audit": False, **how}
    return evaluate.robustness(model, images, LABELS, threat, **how)


def test_an_evaluation_gives_the_same_verdicts(tmp_path):
    ours, theirs = short(LAST, IMAGES), short(CHANNELS_FIRST, FIRST)
    assert 0 < ours.robust_accuracy.value < 1
    for name in ("clean", "winner", "ids", "place", "best_margin"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    np.testing.assert_array_equal(theirs.x_adv, in_first(ours.x_adv))
    assert (theirs.forwards, theirs.backwards) == (ours.forwards, ours.backwards)
    theirs.write_examples(tmp_path / "found.npz")
    assert np.load(tmp_path / "found.npz")["x_adv"].shape == FIRST.shape
    for report, folder in ((ours, "ours"), (theirs, "theirs")):
        report.write_images(tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "ours").iterdir())
    assert len(files) > 2
    for file in files:
        one, other = (tmp_path / folder / file for folder in ("ours", "theirs"))
        assert one.read_bytes() == other.read_bytes()
    for fail, ours_fail in zip(theirs.failures(), ours.failures(), strict=True):
        assert np.array_equal(fail.x, FIRST[fail.position])
        assert np.array_equal(fail.x_adv, theirs.x_adv[fail.position])
        assert np.array_equal(fail.x_adv, in_first(ours_fail.x_adv))
    again = theirs.failures()[0].reproduce()
    np.testing.assert_array_equal(again.x_adv, theirs.failures()[0].x_adv)
    assert "channels first" in str(theirs) and "channels" not in str(ours)
    assert theirs.to_json()["origin"]["layout"] == "CHW"


def test_a_convolution_of_its_own_falls_alike():
    theirs = interop.channels_first(Partial(own_convolution, WEIGHTS))
    ours, theirs = (short(*of, plan=SQUARE) for of in ((LAST, IMAGES), (theirs, FIRST)))
    np.testing.assert_array_equal(theirs.winner, ours.winner)
    np.testing.assert_allclose(theirs.x_adv, in_first(ours.x_adv), atol=1e-6)


@pytest.mark.full
def test_an_audit_looks_at_the_same():
    ours = short(LAST, IMAGES, plan=FGSM).audit_again(2)
    theirs = short(CHANNELS_FIRST, FIRST, plan=FGSM).audit_again(2)
    two = [str(of.audit.to_json()["findings"]) for of in (ours, theirs)]
    assert two[0] == two[1]  # NaN beside NaN too.
    np.testing.assert_array_equal(theirs.x_adv, in_first(ours.x_adv))


def test_a_layout_that_is_not_told_misleads_square():
    """The reason for all this: what it finds is then something else."""
    told = short(CHANNELS_FIRST, FIRST, plan=SQUARE)
    silent = interop.channels_last(Partial(first, WEIGHTS))
    silent = short(silent, FIRST, plan=SQUARE)
    assert told.robust_accuracy.value < silent.robust_accuracy.value


KEYS = lift.item_keys(0, np.arange(N))
DRIVERS = {
    "hosted": drive.hosted,
    "traced": drive.traced,
    "in tiles": lambda attack: lift.in_tiles(drive.auto(attack), tile=4),
    "run": lambda attack: jax.jit(lift.over_examples(drive.run(attack))),
    "last": lambda attack: jax.jit(lift.over_examples(drive.last_iterate(attack))),
}


@pytest.mark.parametrize("name", in_full(DRIVERS, ("hosted", "traced", "last")))
def test_drivers_turn_what_they_are_given(name):
    attack = attacks.pgd(2) if name == "last" else attacks.square(5)
    run, goal = DRIVERS[name](attack), Untargeted(LABELS)
    threat = threats.Linf(0.05, lower=LOW)
    wanted = run(KEYS, LAST, threat, IMAGES, goal)
    threat = threats.Linf(0.05, lower=in_first(LOW))
    found = run(KEYS, CHANNELS_FIRST, threat, FIRST, goal)
    x_adv = [r.x_adv if hasattr(r, "x_adv") else r for r in (found, wanted)]
    np.testing.assert_array_equal(x_adv[0], in_first(np.asarray(x_adv[1])))
    assert np.shape(x_adv[0]) == FIRST.shape


def test_a_start_is_in_the_layout_of_the_images():
    run = drive.hosted(attacks.bim(1))
    start, goal = np.clip(FIRST + 0.01, 0, 1), Untargeted(LABELS)
    given = KEYS, CHANNELS_FIRST, threats.Linf(0.05), FIRST, goal
    found = run(*given, start=start)
    wanted = run(
        KEYS, LAST, threats.Linf(0.05), IMAGES, goal, np.moveaxis(start, 1, -1)
    )
    np.testing.assert_array_equal(found.x_adv, in_first(np.asarray(wanted.x_adv)))


def test_what_many_images_share_is_refused():
    run = drive.shared(attacks.universal(1))
    given = jax.random.key(0), CHANNELS_FIRST, threats.Linf(0.1), FIRST
    with pytest.raises(ValueError, match=r"pass interop\.channels_last\(logits_fn\)"):
        run(*given, Untargeted(LABELS))
    model = interop.channels_last(CHANNELS_FIRST)
    given = jax.random.key(0), model, threats.Linf(0.1), IMAGES
    assert run(*given, Untargeted(LABELS)).shape == (H, W, C)


def test_every_door_turns():
    threat = threats.Linf(0.05)
    two = [(LAST, IMAGES, LABELS), (CHANNELS_FIRST, FIRST, LABELS)]
    curves = [
        evaluate.curve(*of, threat, [0.02, 0.05], attacks.square(9)) for of in two
    ]
    np.testing.assert_array_equal(curves[0].broken, curves[1].broken)
    seen = [evaluate.corrupted_accuracy(*of, ["pixelate"], [5]) for of in two]
    np.testing.assert_array_equal(seen[0].right, seen[1].right)
    assert not seen[0].right.all()
    nearest = [evaluate.distances(*of, threats.Linf(np.inf), "deepfool") for of in two]
    np.testing.assert_array_equal(nearest[0].distance, nearest[1].distance)
    np.testing.assert_array_equal(nearest[1].x_adv, in_first(nearest[0].x_adv))
    looked = evaluate.confirm(
        CHANNELS_FIRST, threats.Patch(2.0), FIRST, pasted(FIRST), LABELS
    )
    assert not len(looked.outside)
    both = {"a": CHANNELS_FIRST, "b": Partial(own_convolution, WEIGHTS)}
    both["b"] = interop.channels_first(both["b"])
    found = evaluate.compare(both, FIRST, LABELS, threat, plan=FGSM, audit=False)
    assert len({r.robust_accuracy.value for r in found.reports.values()}) == 1


def pasted(images):
    changed = images.copy()
    changed[:, :, 1:3, 4:6] = 0.0
    return changed


def test_forms_of_a_net():
    """Of a batch, of (x, key), in a wrapper, of several."""
    batch = interop.channels_first(jax.vmap(Partial(first, WEIGHTS)))
    wanted = short(CHANNELS_FIRST, FIRST, plan=FGSM)
    two = attacks.ensemble((CHANNELS_FIRST, CHANNELS_FIRST))
    forms = (
        (batch, "batch"),
        (batch, None),
        (interop.per_example(batch), "example"),
        (two, None),
    )
    with pytest.raises(ValueError, match="channels-first images beside others"):
        attacks.ensemble((CHANNELS_FIRST, LAST))
    for model, takes in forms:
        found = short(model, FIRST, plan=FGSM, takes=takes)
        np.testing.assert_array_equal(found.winner, wanted.winner)
    noisy = interop.channels_first(
        lambda x, key: first(WEIGHTS, x + 0.01 * jax.random.normal(key, (C, 1, 1)))
    )
    bound = Partial(noisy, key=jax.random.key(0))
    assert rj.attack("fgsm", bound, FIRST, LABELS, threats.Linf(0.1)).x_adv.shape
    report = short(
        noisy,
        FIRST,
        plan=FGSM,
        takes="example and key",
        samples=3,
    )
    assert report.x_adv.shape == FIRST.shape


def test_new_weights_compile_nothing():
    def once(scale):
        weights = jax.tree.map(lambda w: scale * w, WEIGHTS)
        model = interop.channels_first(Partial(first, weights))
        with compilation.recorded() as made:
            short(model, FIRST, plan=FGSM)
        return made.so_far.lowered

    once(1.0)
    assert once(2.0) == 0


def entries(model, images):
    given = model, images, LABELS
    threat = threats.Linf(0.05)
    return {
        "robustness": lambda: short(model, images),
        "attack": lambda: rj.attack("fgsm", *given, threat),
        "curve": lambda: evaluate.curve(*given, threat, [0.1], "fgsm"),
        "distances": lambda: evaluate.distances(*given, threat, "deepfool"),
        "corrupted": lambda: evaluate.corrupted_accuracy(*given, ["fog"], [1]),
        "compare": lambda: evaluate.compare(
            {"a": model}, images, LABELS, threat, plan=FGSM
        ),
    }


@pytest.mark.parametrize("door", entries(LAST, IMAGES))
def test_images_that_look_like_another_layout_are_refused(door):
    silent = entries(Partial(first, WEIGHTS), FIRST)[door]
    with pytest.raises(ValueError, match=r"interop\.channels_first\(model\), or inter"):
        silent()
    other = entries(CHANNELS_FIRST, IMAGES)[door]
    with pytest.raises(ValueError, match=r"takes channels-first images \[N, C, H, W\]"):
        other()


def test_what_is_said_decides():
    """Images three high are those of a net that says so."""
    low = np.zeros((2, 3, 8, 8), np.float32) + 0.5
    model = interop.channels_last(lambda x: x.mean((0, 1))[:3] * 9)
    assert rj.attack("fgsm", model, low, np.zeros(2, int), threats.Linf(0.1))
    again = interop.channels_first(CHANNELS_FIRST)
    np.testing.assert_array_equal(again(FIRST[0]), CHANNELS_FIRST(FIRST[0]))
    back = interop.channels_last(CHANNELS_FIRST)
    np.testing.assert_array_equal(back(IMAGES[0]), CHANNELS_FIRST(FIRST[0]))
    there = interop.channels_first(back)
    np.testing.assert_array_equal(there(FIRST[0]), CHANNELS_FIRST(FIRST[0]))
    with pytest.raises(ValueError, match=r"surrogate=\.\.\. says no layout, and"):
        short(CHANNELS_FIRST, FIRST, surrogate=Partial(first, WEIGHTS), audit=True)
    with pytest.raises(TypeError, match="a module of Flax Linen without its weights"):
        interop.channels_first(nn.Dense(3))
