"""Recipes: radii that grow, rates that fall, and names."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats, train

RECIPE = train.Recipe(
    dataset="digits",
    model="mlp",
    norm="l2",
    eps=0.4,
    growth_epochs=2,
    epochs=10,
    batch_size=32,
    learning_rate=0.5,
)


def test_eps_grows_linearly_to_its_end():
    threat_fn = RECIPE.threat_fn(steps_per_epoch=5)
    radii = [float(threat_fn(jnp.asarray(step)).eps) for step in range(12)]
    np.testing.assert_allclose(radii[:10], 0.04 * np.arange(1, 11), rtol=1e-6)
    np.testing.assert_allclose(radii[10:], 0.4, rtol=1e-6)
    assert isinstance(threat_fn(jnp.asarray(0)), threats.L2)
    at_once = dataclasses.replace(RECIPE, growth_epochs=0).threat_fn(5)
    np.testing.assert_allclose(at_once(jnp.asarray(0)).eps, 0.4, rtol=1e-6)


def test_a_short_run_sees_the_full_radius_for_half_of_its_time():
    threat_fn = dataclasses.replace(RECIPE, growth_epochs=8, epochs=4).threat_fn(5)
    radii = [float(threat_fn(jnp.asarray(step)).eps) for step in range(20)]
    np.testing.assert_allclose(radii[:10], 0.04 * np.arange(1, 11), rtol=1e-6)
    np.testing.assert_allclose(radii[10:], 0.4, rtol=1e-6)


def test_rate_rises_to_its_peak_and_falls_to_its_end():
    rates = np.array([RECIPE.schedule(4)(step) for step in range(41)])
    np.testing.assert_allclose(rates[[0, 4, 40]], [0.005, 0.5, 0.005], rtol=1e-5)
    assert (np.diff(rates[:5]) > 0).all() and (np.diff(rates[4:]) < 0).all()
    cold = dataclasses.replace(RECIPE, warm_up=0.0, epochs=1)
    np.testing.assert_allclose(cold.schedule(1)(0), 0.5, rtol=1e-5)


@pytest.mark.parametrize(("n", "steps"), [(1, 1), (31, 1), (32, 1), (33, 2), (96, 3)])
def test_an_epoch_has_steps_for_every_example(n, steps):
    assert RECIPE.steps_per_epoch(n) == steps


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("eps", -0.1, "eps=-0.1; expected a finite radius >= 0"),
        ("eps", float("nan"), "eps=nan; expected a finite radius"),
        ("attack_steps", 0, "attack_steps=0; expected an integer >= 1"),
        ("epochs", 0, "epochs=0; expected an integer >= 1"),
        ("batch_size", 2.0, "batch_size=2.0; expected an integer >= 1"),
        ("relative_step", 0, "relative_step=0; expected a finite number > 0"),
        ("learning_rate", float("inf"), "learning_rate=inf; expected a finite number"),
        ("growth_epochs", -1, "growth_epochs=-1; expected >= 0"),
        ("weight_decay", float("nan"), "weight_decay=nan; expected >= 0"),
        ("warm_up", 1.0, r"warm_up=1.0; expected a share in \[0, 1\)"),
        ("norm", "l7", "norm='l7'; expected one of linf, l2, l1, l0"),
        ("final_rate", -0.5, r"final_rate=-0.5; expected a share in \[0, 1\]"),
    ],
)
def test_numbers_out_of_range_are_refused(field, value, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(RECIPE, **{field: value})


def test_linf_radii_in_bytes_are_asked_about():
    with pytest.raises(ValueError, match="0-255 units, pass 8/255"):
        dataclasses.replace(RECIPE, norm="linf", eps=8)
