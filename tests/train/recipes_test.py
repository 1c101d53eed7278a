"""Recipes: radii that grow, rates that fall, fields by path, and names."""

import dataclasses
import inspect

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import models, threats, train
from robust_jax.train import methods, optimisers

RECIPE = train.Recipe(
    dataset="digits",
    model="mlp",
    epochs=10,
    ball=train.Ball("l2", 0.4, growth_epochs=2),
    data=train.Data(batch_size=32),
    descent=train.Descent(rate=0.5),
)


SHARED = {"name", "mode", "clean_share", "awp", "awp_after", "sam"}


def radii(threat_fn, steps):
    return [float(threat_fn(jnp.asarray(step)).eps) for step in range(steps)]


def test_eps_grows_linearly_to_its_end():
    threat_fn = RECIPE.ball.threat_fn(growth_steps=10)
    found = radii(threat_fn, 12)
    np.testing.assert_allclose(found[:10], 0.04 * np.arange(1, 11), rtol=1e-6)
    np.testing.assert_allclose(found[10:], 0.4, rtol=1e-6)
    assert isinstance(threat_fn(jnp.asarray(0)), threats.L2)
    np.testing.assert_allclose(radii(RECIPE.ball.threat_fn(), 1), 0.4, rtol=1e-6)


@pytest.mark.parametrize(
    ("epochs", "growth", "steps"), [(10, 2, 10), (4, 8, 10), (10, 0, 0)]
)
def test_a_short_run_sees_the_full_radius_for_half_of_its_time(epochs, growth, steps):
    seen = []

    def build(apply_fn, threat_fn, **others):
        seen.append(radii(threat_fn, 12))

    class Spy(methods.Method, name="spied_on", build=build):
        pass

    try:
        changes = {"epochs": epochs, "ball.growth_epochs": growth}
        changes["method.name"] = "spied_on"
        RECIPE.changed(changes).objective(None, 5, (8, 8, 1))
    finally:
        del methods.METHODS["spied_on"]
    expected = np.minimum(1, np.arange(1, 13) / steps) if steps else np.ones(12)
    np.testing.assert_allclose(seen[0], 0.4 * expected, rtol=1e-6)


def rates(steps=41, **changes):
    descent = dataclasses.replace(RECIPE.descent, **changes)
    schedule = optimisers.schedule(descent, epochs=10, steps_per_epoch=4)
    return np.array([schedule(step) for step in range(steps)])


def test_rates_rise_to_their_peak_and_fall_to_their_end():
    cosine = rates()
    np.testing.assert_allclose(cosine[[0, 4, 40]], [0.005, 0.5, 0.005], rtol=1e-5)
    assert (np.diff(cosine[:5]) > 0).all() and (np.diff(cosine[4:]) < 0).all()
    np.testing.assert_allclose(rates(1, warm_up=0.0)[0], 0.5, rtol=1e-5)
    triangle = rates(schedule="triangular", warm_up=0.4, final_rate=0.0)
    corners = [0, 16, 40]
    expected = np.interp(np.arange(41), corners, [0, 0.5, 0])
    np.testing.assert_allclose(triangle, expected, atol=1e-6)
    cycle = rates(schedule="one_cycle", warm_up=0.3)
    np.testing.assert_allclose(cycle[[0, 12]], [0.02, 0.5], rtol=1e-5)
    assert cycle[40] < 1e-5 and cycle.argmax() == 12
    np.testing.assert_allclose(rates(schedule="constant"), 0.5)
    steps = rates(schedule="piecewise", drops=(5.0, 7.5), factors=(0.1, 0.5))
    expected = 0.5 * np.repeat([1, 0.1, 0.05], [20, 10, 11])
    np.testing.assert_allclose(steps, expected, rtol=1e-6)


def one_update(grads, params, **changes):
    descent = dataclasses.replace(RECIPE.descent, schedule="constant", **changes)
    optimiser = optimisers.optimiser(descent, 10, 4)
    state = optimiser.init(params)
    for grad in grads:
        updates, state = optimiser.update(grad, state, params)
    return optax.apply_updates(params, updates)


def test_sgd_decays_as_pytorch_and_spares_biases_if_asked():
    params = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 3.0)}
    grads = [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}]
    sgd = {"name": "sgd", "rate": 0.1, "weight_decay": 0.5}
    after = one_update(grads, params, **sgd)
    np.testing.assert_allclose(after["kernel"], 2 - 0.1 * (1 + 0.5 * 2), rtol=1e-6)
    np.testing.assert_allclose(after["bias"], 3 - 0.1 * (1 + 0.5 * 3), rtol=1e-6)
    after = one_update(grads, params, **sgd, decay_all=False)
    np.testing.assert_allclose(after["bias"], 3 - 0.1, rtol=1e-6)
    after = one_update(grads, params, name="sgd", rate=0.1, clip_norm=0.6)
    np.testing.assert_allclose(after["bias"], 3 - 0.1 * 0.6 / 6**0.5, rtol=1e-6)


def test_accumulated_gradients_are_their_mean_in_one_step():
    params = {"w": jnp.zeros((1, 1))}
    grads = [{"w": jnp.full((1, 1), g)} for g in (1.0, 3.0)]
    sgd = {"name": "sgd", "rate": 0.1, "momentum": 0.0, "accumulate": 2}
    np.testing.assert_allclose(one_update(grads, params, **sgd)["w"], -0.2, rtol=1e-6)
    np.testing.assert_array_equal(one_update(grads[:1], params, **sgd)["w"], 0)


@pytest.mark.parametrize(("n", "steps"), [(1, 1), (31, 1), (32, 1), (33, 2), (96, 3)])
def test_an_epoch_has_steps_for_every_example(n, steps):
    assert RECIPE.steps_per_epoch(n) == steps


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("ball.eps", -0.1, "eps=-0.1; expected a finite radius >= 0"),
        ("ball.eps", float("nan"), "eps=nan; expected a finite radius"),
        ("ball.norm", "l7", "unknown norm 'l7'; did you mean"),
        ("ball.growth_epochs", -1, "growth_epochs=-1; expected a finite number >= 0"),
        ("attack.steps", 0, "steps=0; expected an integer >= 1"),
        ("attack.steps", "x", "attack.steps='x'; expected an integer"),
        ("attack.relative_step", 0, "relative_step=0; expected a finite number > 0"),
        ("attack.mode", "train", "unknown batch mode 'train'"),
        ("attack.stepz", 3, "unknown field 'stepz'; did you mean 'steps'"),
        ("epochs", 0, "epochs=0; expected an integer >= 1"),
        ("epochs.x", 0, "epochs.x: epochs has no parts"),
        ("data.batch_size", 2.0, "batch_size=2.0; expected an integer >= 1"),
        ("data.extra_share", 1.0, r"extra_share=1.0; expected a share in \[0, 1\)"),
        ("descent.rate", float("inf"), "rate=inf; expected a finite number"),
        ("descent.weight_decay", float("nan"), "weight_decay=nan; expected a finite"),
        ("descent.warm_up", 1.0, r"warm_up=1.0; expected a share in \[0, 1\)"),
        ("descent.final_rate", -0.5, r"final_rate=-0.5; expected a share in \[0, 1\]"),
        ("descent.drops", "5", "expected as many factors as drops"),
        ("descent.nesterov", "yes", "descent.nesterov='yes'; expected true or false"),
        ("weights.give", "ema_0.9", "unknown weights 'ema_0.9'"),
        ("weights.ema", "1.5", r"ema=1.5; expected a number in \(0, 1\)"),
        ("precision", "float16", "unknown precision 'float16'"),
        ("watch.gap", 1, r"gap=1; expected a number in \(0, 1\)"),
        ("watch.drop", 0, r"drop=0; expected a number in \(0, 1\)"),
    ],
)
def test_bad_values_are_refused(path, value, words):
    with pytest.raises(ValueError, match=words):
        RECIPE.changed({path: value})


def test_linf_radii_in_bytes_are_asked_about():
    with pytest.raises(ValueError, match="eps=8 exceeds the width 1 of the"):
        RECIPE.changed({"ball.norm": "linf", "ball.eps": 8})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method.name": "tradez"}, "unknown method 'tradez'; did you mean 'trades'"),
        ({"attack.name": "pgd9"}, "unknown inner attack 'pgd9'"),
        ({"method.beto": 2.0}, "unknown field 'beto'"),
        ({"method.beta": 2.0}, "method.beta=2; adversarial has no such number: it has"),
        ({"method.name": "helper_based"}, "helper_based needs a teacher"),
        ({"method.name": "ensemble"}, "ensemble needs teachers"),
        ({"method.name": "consistency"}, "consistency needs an augmentation"),
        ({"data.augment": "crob-4"}, "unknown augmentation 'crob'"),
        ({"data.augment": "crop-x"}, "augmentation 'crop-x'; expected a name and its"),
    ],
)
def test_a_method_gets_what_it_needs_and_nothing_else(changes, words):
    with pytest.raises(ValueError, match=words):
        RECIPE.changed(changes).objective(
            models.ApplyMode(models.by_name("mlp")), 4, (8, 8, 1)
        )


@pytest.mark.parametrize("kind", methods.METHODS.values())
def test_a_methods_numbers_are_those_of_its_objective(kind):
    arguments = inspect.signature(kind._build).parameters
    numbers = set(dataclasses.asdict(kind())) - SHARED
    assert numbers <= set(arguments)
    for number in numbers:
        assert getattr(kind(), number) == arguments[number].default


def test_another_method_takes_what_was_given_to_the_first():
    mart = dataclasses.replace(RECIPE, method=methods.Mart(beta=2.0, awp=0.01))
    trades = mart.changed({"method.name": "trades", "method.smoothing": "0.1"})
    assert trades.method == methods.Trades(beta=2.0, smoothing=0.1, awp=0.01)
    own = dataclasses.replace(mart, method=methods.Mart()).changed(
        {"method.name": "trades"}
    )
    assert own.method == methods.Trades(beta=6.0) != methods.Mart(beta=6.0)
    with pytest.raises(ValueError, match="method.beta=2; vat has no such number: it"):
        mart.changed({"method.name": "vat"})


def test_fields_are_written_as_they_are_read():
    changes = {
        "model_config.hidden": "[7, 5]",
        "attack.steps": "20",
        "descent.nesterov": "true",
        "descent.drops": "5.0,7.5",
        "descent.factors": "0.1,0.1",
        "data.augment": "crop-1,flip",
        "method.name": "trades",
        "method.beta": "2.5",
        "weights.ema": "0.9,0.99",
        "weights.give": "ema_0.99",
    }
    changed = RECIPE.changed(changes)
    assert changed.attack.steps == 20 and changed.descent.nesterov is True
    assert changed.descent.drops == (5.0, 7.5) and changed.method.beta == 2.5
    assert changed.data.augment == ("crop-1", "flip")
    assert dict(changed.model_config)["hidden"] == (7, 5)
    fields = changed.fields()
    assert {path: fields[path] for path in changes} == changes
    del fields["more_balls"]  # Balls have no text.
    assert RECIPE.changed(fields) == changed
    assert RECIPE.changed({"method.beta": None}) == RECIPE
    assert RECIPE.changed({"ball.eps": "8/255"}).ball.eps == 8 / 255
    assert hash(changed) != hash(RECIPE)
