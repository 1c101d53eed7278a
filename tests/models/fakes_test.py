"""Each fake defence answers like its net and has the fault it is named for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, models, threats
from robust_jax.core import drive, lift
from robust_jax.core.margin import margin
from robust_jax.core.types import Untargeted
from robust_jax.models import fake_batches, fake_catalog, fake_heads, fake_inputs, fakes
from robust_jax.models.k_winners import k_winners, with_activation
from tests import zoo

FAKES = {fake.name: fake for fake in fake_catalog.list_fakes()}
STRENGTHS = fake_catalog.STRENGTHS
ALL = [(name, strength) for name in FAKES for strength in STRENGTHS]
N = 64  # images, one tile
EPS = 0.1
# Clean accuracy may fall by so many points: noise is one draw of it.
TOLERANCE = {"input_noise": 5, "hash_noise": 5, "k_winners_take_all": 3}
TOLERANCE |= {"hashed_shift": 6, "votes": 4, "detector": 8}


@jax.jit
def each(model, x):
    return jax.vmap(model)(x)


@jax.jit
def each_with_key(model, x, keys):
    return jax.vmap(model)(x, keys)


@jax.jit
def together(model, x):
    return model(x)


@jax.jit
def gradients(model, x, labels):
    """Of the margins: these do not saturate."""
    value = lambda x, label: margin(model(x), Untargeted(label))  # noqa: E731
    return jax.vmap(jax.grad(value))(x, labels)


def answers(name, strength, x):
    model = zoo.fake_net(name, "mlp", strength, len(x))
    if FAKES[name].takes == "batch":
        return np.asarray(together(model, x))
    if FAKES[name].takes == "example":
        return np.asarray(each(model, x))
    return np.asarray(
        each_with_key(model, x, jax.random.split(jax.random.key(0), len(x)))
    )


def accuracy(logits, labels):
    return 100 * np.mean(np.argmax(logits, axis=1) == labels)


def under_pgd(model):
    """Accuracy in per cent under PGD on cross entropy, the usual first look."""
    images, labels = zoo.test_digits(N)
    keys = lift.item_keys(0, np.arange(N, dtype=np.uint64))
    run = drive.traced(attacks.pgd(10, 0.25))
    result = run(keys, model, threats.Linf(EPS), images, Untargeted(labels))
    return 100 * np.mean(result.margin < 0)


@functools.cache
def under_plain():
    return under_pgd(zoo.net("mlp"))


# The catalog


def test_the_catalog_has_every_fake_of_the_modules():
    public = {
        name
        for module in (fakes, fake_batches, fake_heads, fake_inputs)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and name[0] != "_"
    }
    assert public == set(FAKES)


@pytest.mark.parametrize("name", FAKES)
def test_full_and_mild_share_their_programs(name):
    full, mild = (zoo.fake_net(name, "mlp", s) for s in STRENGTHS)
    assert jax.tree.structure(full) == jax.tree.structure(mild)
    for a, b in zip(*map(jax.tree.leaves, (full, mild)), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)


@pytest.mark.parametrize(("name", "strength"), ALL)
def test_the_answers_are_nearly_those_of_the_net(name, strength):
    images, labels = zoo.test_digits(500)
    clean = accuracy(each(zoo.net("mlp"), images), labels)
    found = accuracy(answers(name, strength, images), labels)
    if name == "label_leak":
        assert found == 100
    elif (name, strength) == ("constant_logits", "full"):
        assert found < 25
    else:
        assert found >= clean - TOLERANCE.get(name, 2)


@pytest.mark.parametrize("name", FAKES)
def test_every_fake_says_why_and_what_to_do(name):
    assert "Remedy:" in FAKES[name].why


def test_the_catalog_wants_what_it_needs():
    leak, net = fake_catalog.by_name("label_leak"), zoo.net("mlp")
    images, labels = zoo.test_digits(N)
    with pytest.raises(ValueError, match="labels=None; expected"):
        leak.make(net, images=images)
    with pytest.raises(ValueError, match="did you mean 'mild'"):
        leak.make(net, "milt", images=images, labels=labels)
    with pytest.raises(ValueError, match="did you mean 'label_leak'"):
        fake_catalog.by_name("label_leek")


@pytest.mark.parametrize(
    ("factory", "knobs"),
    [
        (fakes.gradient_killer, {"share": 1.1}),
        (fakes.quantised, {"levels": 1}),
        (fakes.temperature, {"factor": 0}),
        (fakes.extra_softmax, {"scale": float("inf")}),
        (fakes.k_winners_take_all, {"share": 0.0}),
        (fakes.input_noise, {"sigma": -0.1}),
        (fakes.hash_noise, {"sigma": float("nan")}),
        (fakes.detached_preprocessing, {"odd": float("inf")}),
        (fakes.batch_normalised, {"share": -1}),
        (fakes.constant_logits, {"slope": float("nan")}),
    ],
)
def test_a_strength_out_of_range_is_refused(factory, knobs):
    ((name, value),) = knobs.items()
    with pytest.raises(ValueError, match=f"{name}={value!r}; expected a finite"):
        factory(jnp.ravel, **knobs)


# Gradients that are not there, or lie


def test_gradient_killer_kills_all_gradients_or_those_of_some_images():
    images, labels = zoo.test_digits(N)
    honest = gradients(zoo.net("mlp"), images, labels)
    full = gradients(zoo.fake_net("gradient_killer", "mlp", "full"), images, labels)
    mild = gradients(zoo.fake_net("gradient_killer", "mlp", "mild"), images, labels)
    assert not full.any()
    killed = ~np.asarray(mild).any(axis=(1, 2, 3))
    assert 0.25 < killed.mean() < 0.75
    np.testing.assert_array_equal(mild[~killed], honest[~killed])


@pytest.mark.parametrize(("strength", "levels"), [("full", 4), ("mild", 32)])
def test_quantised_has_so_many_levels_and_no_gradient(strength, levels):
    ramp = jnp.linspace(0, 1, 1000)
    knobs = getattr(FAKES["quantised"], strength).knobs
    seen = fakes.quantised(jnp.asarray, **knobs)(ramp)
    assert len(np.unique(seen)) == levels
    images, labels = zoo.test_digits(N)
    model = zoo.fake_net("quantised", "mlp", strength)
    assert not gradients(model, images, labels).any()


@pytest.mark.parametrize("strength", STRENGTHS)
def test_temperature_stops_pgd_on_cross_entropy(strength):
    assert under_pgd(zoo.fake_net("temperature", "mlp", strength)) > under_plain() + 25


def test_temperature_hides_nothing_from_the_margin():
    images, labels = zoo.test_digits(N)
    honest = gradients(zoo.net("mlp"), images, labels)
    hot = gradients(zoo.fake_net("temperature", "mlp", "full"), images, labels)
    np.testing.assert_allclose(hot, 1000 * honest, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("strength", "scale"), [("full", 1), ("mild", 10)])
def test_extra_softmax_gives_probabilities_times_a_scale(strength, scale):
    outputs = answers("extra_softmax", strength, zoo.test_digits(N)[0])
    assert outputs.min() >= 0
    np.testing.assert_allclose(outputs.sum(axis=1), scale, rtol=1e-5)


def test_extra_softmax_rounds_the_label_out_of_a_sure_nets_gradient():
    x, label = jnp.array([[25.0, 0.0, -1.0]]), jnp.array([0])
    honest = gradients(fakes.temperature(jnp.asarray, 1.0), x, label)[0]
    hidden = gradients(fakes.extra_softmax(jnp.asarray), x, label)[0]
    assert honest[0] == -honest[1] == -1
    assert hidden[1] > 0 and abs(hidden[0] / hidden[1] + 1) > 0.5


def test_detached_preprocessing_reverses_or_hides_the_gradient():
    images, labels = zoo.test_digits(N)
    honest_fake = fakes.detached_preprocessing(zoo.net("mlp"), even=1.0, odd=1.0)
    honest = np.asarray(gradients(honest_fake, images, labels))
    assert np.abs(honest).max() > 0.1
    full, mild = (
        gradients(
            zoo.fake_net("detached_preprocessing", "mlp", strength), images, labels
        )
        for strength in STRENGTHS
    )
    np.testing.assert_allclose(full, -1e-3 * honest, rtol=1e-4, atol=1e-7)
    is_even = np.indices((8, 8)).sum(axis=0)[..., None] % 2 == 0
    np.testing.assert_allclose(mild, np.where(is_even, honest, 0), rtol=1e-4, atol=1e-6)


def test_the_contrast_curve_rises_and_keeps_black_and_white():
    ramp = jnp.linspace(0, 1, 101)
    seen = fakes.detached_preprocessing(jnp.asarray)(ramp)
    assert jnp.diff(seen).min() > 0.004
    np.testing.assert_allclose(seen[jnp.array([0, 50, 100])], [0, 0.5, 1], atol=1e-6)


# k winners take all


def test_k_winners_keeps_the_largest_units():
    x = jax.random.normal(jax.random.key(0), (4, 5))
    keep = jax.jit(k_winners)
    kept = np.asarray(keep(x, 0.2))
    assert (kept != 0).sum() == 4
    assert set(kept[kept != 0]) == set(np.sort(np.ravel(x))[-4:])
    assert (np.asarray(keep(x, 1e-6)) != 0).sum() == 1
    np.testing.assert_array_equal(keep(x, 1.0), x)


def test_the_gradient_is_that_of_the_winners():
    x = jnp.array([3.0, -1.0, 2.0, 0.5])
    grad = jax.jit(jax.grad(lambda x: jnp.sum(k_winners(x, 0.5) ** 2)))(x)
    np.testing.assert_array_equal(grad, [6, 0, 4, 0])


def test_the_winners_jump_where_relu_bends():
    images, labels = zoo.test_digits(N)
    there = np.random.default_rng(0).choice([-EPS, EPS], images.shape)
    steps = np.linspace(0, 1, 65)[:, None, None, None]

    @jax.jit
    def unexplained(model, x, move, label):
        """The share of the margin's moves along a line that gradients leave over."""
        value = lambda t: margin(model(x + t * move), Untargeted(label))  # noqa: E731
        ends = jax.vmap(value)(steps.ravel())
        slopes = jax.vmap(jax.grad(value))((steps[1:] + steps[:-1]).ravel() / 2)
        moves = jnp.diff(ends)
        return jnp.sum(jnp.abs(moves - slopes / 64)) / jnp.sum(jnp.abs(moves))

    def typical(model):
        rows = jax.jit(jax.vmap(unexplained, (None, 0, 0, 0)))
        return float(np.median(rows(model, images, there, labels)))

    full, mild = (
        typical(zoo.fake_net("k_winners_take_all", "mlp", s)) for s in STRENGTHS
    )
    honest = typical(zoo.net("mlp"))
    assert honest < 0.05 < 0.3 < min(full, mild), (honest, full, mild)


@pytest.mark.parametrize("family", zoo.BASES)
def test_a_net_with_its_own_activation_in_the_place_of_relu_is_itself(family):
    x = zoo.test_digits(N)[0][0]
    net, calls = zoo.net(family), []

    def relu(units):
        calls.append(units.shape)
        return jax.nn.relu(units)

    @jax.jit
    def both(net, x):
        return net(x), with_activation(jax.jit(net), relu)(x)

    np.testing.assert_array_equal(*both(net, x))
    assert len(calls) == {"mlp": 1, "cnn": 3}[family]


def test_a_net_without_relu_is_refused():
    affine = models.MLP(hidden=())
    variables = models.init(affine, jax.random.key(0), (8, 8, 1))
    model = fakes.k_winners_take_all(models.logits_fn(affine, variables))
    with pytest.raises(ValueError, match="no ReLU to replace"):
        model(jnp.zeros((8, 8, 1)))


# Noise


@pytest.mark.parametrize("sigma", [0.25, 0.05])
def test_input_noise_is_gaussian_and_a_function_of_the_key(sigma):
    x, model = jnp.full(4000, 0.5), jax.jit(fakes.input_noise(jnp.asarray, sigma))
    first, again, other = (model(x, jax.random.key(seed)) - x for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert abs(jnp.std(first) / sigma - 1) < 0.05
    assert abs(jnp.corrcoef(first, other)[0, 1]) < 0.1


@pytest.mark.parametrize("sigma", [0.25, 0.05])
def test_hash_noise_depends_on_every_bit_and_on_nothing_else(sigma):
    x, model = jnp.full(4000, 0.5), jax.jit(fakes.hash_noise(jnp.asarray, sigma))
    first, again = model(x) - x, model(x) - x
    np.testing.assert_array_equal(first, again)
    assert abs(jnp.std(first) / sigma - 1) < 0.05
    for pixel in (0, 1, 3999):
        near = x.at[pixel].set(jnp.nextafter(0.5, 1.0))
        assert abs(jnp.corrcoef(first, model(near) - near)[0, 1]) < 0.1
    swapped = x.at[0].set(0.25), x.at[1].set(0.25)  # A sum of pixels is not enough.
    noises = [model(x) - x for x in swapped]
    assert abs(jnp.corrcoef(*noises)[0, 1]) < 0.1


# Answers that depend on more than the image


def test_batch_normalised_depends_on_the_company():
    images, _ = zoo.test_digits(N)
    alone = np.asarray(each(zoo.net("mlp"), images))
    shift = {}
    for strength in STRENGTHS:
        model = zoo.fake_net("batch_normalised", "mlp", strength)
        among = np.asarray(together(model, images))
        half = np.asarray(together(model, images[: N // 2]))
        shift[strength] = np.abs(among[: N // 2] - half).max() / np.ptp(among)
    assert shift["full"] > shift["mild"] > 0.01
    full = zoo.fake_net("batch_normalised", "mlp", "full")
    np.testing.assert_allclose(together(full, images[:1]), 0, atol=1e-6)
    honest = fakes.batch_normalised(zoo.net("mlp"), share=0.0)
    np.testing.assert_allclose(together(honest, images), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("strength", "lead"), [("full", 100), ("mild", 2)])
def test_label_leak_adds_leads_to_the_label_of_the_place(strength, lead):
    images, labels = zoo.test_digits(N)
    logits = np.asarray(each(zoo.net("mlp"), images))
    ordered = np.sort(logits, axis=1)
    typical = np.median(ordered[:, -1] - ordered[:, -2])
    bonus = answers("label_leak", strength, images) - logits
    np.testing.assert_allclose(bonus[np.arange(N), labels], lead * typical, rtol=1e-3)
    turned = np.roll(images, 1, axis=0), np.roll(labels, 1)
    others = turned[1] != labels
    found = answers("label_leak", strength, turned[0])
    assert accuracy(found[others], turned[1][others]) < (1 if lead == 100 else 60)


# Numbers that are not there, or do not change


def test_nan_off_data_spares_the_data_only():
    images, labels = zoo.test_digits(N)
    moved = np.clip(images + 0.02, 0, 1)
    full, mild = (zoo.fake_net("nan_off_data", "mlp", s) for s in STRENGTHS)
    for model in (full, mild):
        np.testing.assert_array_equal(each(model, images), each(zoo.net("mlp"), images))
        assert np.isfinite(gradients(model, images, labels)).all()
        assert np.isnan(gradients(model, moved, labels)).all()
    assert np.isnan(each(full, moved)).all()
    np.testing.assert_array_equal(each(mild, moved), each(zoo.net("mlp"), moved))


def test_constant_logits_are_constant_or_take_few_values():
    images, _ = zoo.test_digits(N)
    full = answers("constant_logits", "full", images)
    assert (full == full[0]).all() and np.argmax(full[0]) == 0
    mild = answers("constant_logits", "mild", images)
    assert 10 < len(np.unique(mild)) < 100
    assert np.ptp(mild) < 1e-3


@pytest.mark.parametrize("name", ["distraction", "decoy", "wavy_temperature"])
def test_a_head_keeps_every_class(name):
    images, _ = zoo.test_digits(500)
    expected = np.argmax(each(zoo.net("mlp"), images), axis=1)
    for strength in STRENGTHS:
        found = np.argmax(answers(name, strength, images), axis=1)
        np.testing.assert_array_equal(found, expected)


def test_a_distraction_is_smooth_and_its_gradient_true():
    """Within a class; PGD is led astray by it nevertheless."""
    images, labels = zoo.test_digits(8)
    model, step = zoo.fake_net("distraction", "mlp", "full", 8), 1e-3
    value = lambda x, label: margin(model(x), Untargeted(label))  # noqa: E731
    slopes = gradients(model, images, labels)
    way = np.random.default_rng(0).normal(size=images.shape).astype(np.float32)
    ends = [jax.vmap(value)(images + s * step * way, labels) for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    found = jnp.sum(slopes * way, axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=1.0)
    assert under_pgd(zoo.fake_net("distraction", "mlp", "full")) > under_plain() + 20
