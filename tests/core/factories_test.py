from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, optim
from robust_jax.core import checks
from robust_jax.core.factories import Product, as_product, factory
from robust_jax.losses import objectives


class Pair(NamedTuple):
    apply: Any
    steps: Any


@factory("width")
def scaled(factor=2.0, steps=3, function=jnp.sin, width=1):
    """A function with two numbers and a shape."""
    checks.positive_integer("steps", steps)
    return Pair(lambda x: function(x) * factor * jnp.ones(width), steps + 1)


@factory()
def twice(inner, rounds=2):
    """Holds another product."""
    return Pair(lambda x: rounds * inner.apply(x), inner.steps * rounds)


def traces_of(*products):
    """How often a program of a product is traced for these, one after the other."""
    traces = []

    @jax.jit
    def run(product, x):
        traces.append(1)
        return product.apply(x), product.steps

    found = [run(product, 0.5) for product in products]
    for product, (value, steps) in zip(products, found, strict=True):
        np.testing.assert_allclose(value, product.apply(0.5), rtol=1e-6)
        assert steps == product.steps
    return len(traces)


def test_equal_arguments_give_the_same_object_however_they_are_written():
    one = scaled(1.5)
    for other in (scaled(factor=1.5), scaled(1.5, 3), scaled(steps=3, factor=1.5)):
        assert other is one
    assert scaled(1.5, 4) is not one and scaled(1.5, 4) != one
    assert scaled(1) != scaled(1.0)  # Their programs differ in types.


def test_numbers_share_a_program_and_the_rest_does_not():
    assert traces_of(scaled(1.5), scaled(2.5, 7), scaled(0.1, 10_000)) == 1
    assert traces_of(scaled(), scaled(function=jnp.cos)) == 2
    assert traces_of(scaled(width=1), scaled(width=2)) == 2
    assert traces_of(scaled(1), scaled(1.0)) == 2  # An integer, a float.


def test_products_in_products_are_seen_through():
    assert traces_of(twice(scaled(1.5)), twice(scaled(2.5, 4), rounds=5)) == 1
    assert traces_of(twice(scaled(1.5)), twice(scaled(1.5, function=jnp.cos))) == 2
    assert twice(scaled(1.5)) is twice(inner=scaled(1.5))


def test_functions_made_by_hand_are_products_of_themselves():
    by_hand = Pair(jnp.sin, 3)
    product = as_product(by_hand)
    assert as_product(product) is product
    assert product.steps == 3 and product.apply(0.0) == 0
    assert traces_of(product, as_product(by_hand._replace(steps=9))) == 1


def test_arguments_are_refused_when_the_factory_is_called():
    for steps in (0, True, 2.5):
        with pytest.raises(ValueError, match=f"steps={steps}; expected an integer"):
            scaled(steps=steps)
    with pytest.raises(TypeError, match="unhashable"):
        scaled(function={1})
    with pytest.raises(TypeError, match="unexpected keyword"):
        scaled(fourth=4)


def test_arrays_are_numbers_that_are_known_by_identity():
    weights = jnp.arange(3.0)
    one, other = scaled(weights), scaled(weights + 1)
    assert one == scaled(weights) and one != other and hash(one) == hash(other)
    assert traces_of(scaled(weights, width=3), scaled(weights + 1, width=3)) == 1


def test_what_holds_traced_numbers_is_not_remembered():
    seen = []

    @factory()
    def outer(rate=0.5):
        seen.append(scaled(function=lambda x: x * rate))
        return seen[-1]

    jax.jit(lambda product, x: product.apply(x))(outer(0.25), 1.0)
    fresh = outer(0.25).apply(1.0)  # A leaked tracer would raise here.
    assert fresh == 0.5 and len({id(one) for one in seen}) == len(seen)


def test_a_product_tells_how_it_was_made():
    usual = attacks.pgd(3, 0.5, objectives.cross_entropy, None)
    assert repr(usual) == "pgd(steps=3, relative_step=0.5)"
    shown = repr(attacks.pgd(3, 0.5, objectives.dlr, attacks.gradients.exact()))
    assert shown == "pgd(steps=3, relative_step=0.5, objective=dlr, gradient=exact())"
    assert repr(twice(scaled(1.5))).startswith("twice(inner=scaled(factor=1.5,")


def test_attacks_and_rules_are_products():
    assert isinstance(attacks.pgd(), Product) and isinstance(optim.adam(0.1), Product)
    assert attacks.pgd(40) is attacks.pgd(steps=40) is attacks.pgd()
    structures = {
        jax.tree.structure(attacks.pgd(n, r)) for n, r in [(3, 0.1), (9, 1.0)]
    }
    assert len(structures) == 1
    assert attacks.pgd(7).steps == 8
