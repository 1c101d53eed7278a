"""What a model looks up is what it finds now, in values, gradients and batches."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax.core import closures

X = jnp.asarray([0.5, -1.0, 2.0])


@pytest.fixture
def kept():
    """What models look up, and a program of any model that is kept."""
    return {"w": jnp.arange(6.0).reshape(3, 2), "scale": 2.0}


def value_and_gradient():
    def both(model, x):
        value, back = jax.vjp(lambda x: model(x), x)
        return value, back(jnp.ones_like(value))[0]

    return jax.jit(both)


def test_arrays_that_are_looked_up_are_arguments(kept):
    program = value_and_gradient()
    model = lambda x: x @ kept["w"]  # noqa: E731
    for weights in (kept["w"], -kept["w"], 3 * kept["w"]):
        kept["w"] = weights
        value, gradient = program(closures.as_of_now(model, X), X)
        np.testing.assert_allclose(value, X @ weights)
        np.testing.assert_allclose(gradient, weights.sum(axis=1))
    assert program._cache_size() == 1


def test_numbers_and_architecture_that_are_looked_up_make_another_program(kept):
    program = value_and_gradient()
    kept["net"] = jnp.sin
    model = lambda x: kept["net"](x * kept["scale"])  # noqa: E731
    for scale, net in ((2.0, jnp.sin), (5.0, jnp.sin), (5.0, jnp.cos), (2.0, jnp.sin)):
        kept["scale"], kept["net"] = scale, net
        np.testing.assert_allclose(
            program(closures.as_of_now(model, X), X)[0], net(X * scale), rtol=1e-6
        )
    before = program._cache_size()
    program(closures.as_of_now(model, X), X)
    assert program._cache_size() == before  # Nothing has changed since.


def test_a_gradient_s_own_rule_is_that_of_now(kept):
    program = value_and_gradient()

    @jax.custom_vjp
    def model(x):
        return x @ kept["w"]

    model.defvjp(
        lambda x: (model(x), None), lambda _, g: (kept["scale"] * kept["w"] @ g,)
    )
    for weights, scale in ((kept["w"], 2.0), (-kept["w"], 2.0), (-kept["w"], 4.0)):
        kept["w"], kept["scale"] = weights, scale
        _, gradient = program(closures.as_of_now(lambda x: model(x), X), X)
        np.testing.assert_allclose(gradient, scale * weights.sum(axis=1))


def test_what_a_rule_alone_looks_up_is_that_of_now(kept):
    """Straight through: only the way back knows the scale, or an array."""
    program = value_and_gradient()

    @jax.custom_vjp
    def rounded(x):
        return jnp.round(x)

    rounded.defvjp(
        lambda x: (rounded(x), None),
        lambda _, g: (kept["scale"] * kept["slope"] * g,),
    )
    model = lambda x: rounded(x) + 1  # noqa: E731
    for scale, slope in ((2.0, 1.0), (4.0, 1.0), (4.0, 3.0)):
        kept["scale"], kept["slope"] = scale, jnp.full(3, slope)
        _, gradient = program(closures.as_of_now(model, X), X)
        np.testing.assert_allclose(gradient, np.full(3, scale * slope))


@pytest.mark.parametrize("of", [jnp.sin, jax.nn.relu])
def test_another_rule_for_a_function_of_jax_s_is_that_of_now(kept, of):
    """It is known by its place in JAX, as is what gives it a rule."""
    program, named = value_and_gradient(), jax.custom_jvp(of)
    named.defjvps(lambda tangent, out, x: kept["scale"] * tangent)
    model = lambda x: named(x) + 1  # noqa: E731
    for scale in (2.0, 4.0):
        kept["scale"] = scale
        _, gradient = program(closures.as_of_now(model, X), X)
        np.testing.assert_allclose(gradient, np.full(3, scale))


def test_relu_alone_is_traced_once():
    traces = []

    def model(x):
        traces.append(1)
        return jax.nn.relu(x)

    closures.as_of_now(model, X)
    assert len(traces) == 1


def test_what_a_function_compiled_inside_looks_up_is_that_of_now(kept):
    program = value_and_gradient()
    model = lambda x: jax.jit(lambda y: y @ kept["w"])(x)  # noqa: E731
    for weights in (kept["w"], 4 * kept["w"]):
        kept["w"] = weights
        value, _ = program(closures.as_of_now(model, X), X)
        np.testing.assert_allclose(value, X @ weights)


def test_a_net_whose_way_back_fails_is_asked_for_values():
    @jax.custom_vjp
    def model(x):
        return 2 * x

    def refused(_, g):
        raise RuntimeError("no way back")

    model.defvjp(lambda x: (model(x), None), refused)
    np.testing.assert_allclose(closures.as_of_now(model, X)(X), 2 * X)


def test_no_weight_is_held_and_equal_texts_share_a_program(kept):
    program = value_and_gradient()
    arrays = [weakref.ref(use(program, jnp.full((3, 2), k))) for k in (1.0, 2.0)]
    gc.collect()
    assert [one() for one in arrays] == [None, None]
    assert program._cache_size() == 1


def use(program, weights):
    program(closures.as_of_now(lambda x: x @ weights, X), X)
    return weights


def test_a_batch_s_own_rule_is_that_of_now(kept):
    @jax.custom_batching.custom_vmap
    def model(x):
        return x

    @model.def_vmap
    def _(axis_size, in_batched, x):
        scale = kept["scale"] if axis_size > 1 else 1.0
        return x * kept["w"][0, 1] * scale, True

    program = jax.jit(lambda model, x: jax.vmap(lambda x: model(x))(x))
    named = lambda x: model(x)  # noqa: E731
    for scale in (2.0, 3.0):
        kept["scale"] = scale
        found = program(closures.as_of_now(named, X), jnp.stack([X, X]))
        np.testing.assert_allclose(found[0], X * scale)


def test_weights_that_are_written_to_later_were_those_of_then(kept):
    kept["w"] = np.arange(6, dtype=np.float32).reshape(3, 2)
    looked_up = closures.as_of_now(lambda x: x @ kept["w"], X)
    bound = closures.as_of_now(Partial(lambda w, x: x @ w, kept["w"]), X)
    before = X @ kept["w"]
    kept["w"] *= -1
    np.testing.assert_allclose(looked_up(X), before)
    np.testing.assert_allclose(bound(X), before)
    again = closures.as_of_now(Partial(lambda w, x: x @ w, kept["w"]), X)
    np.testing.assert_allclose(again(X), -before)


def test_weights_that_are_bound_stay_arguments():
    program = value_and_gradient()
    apply = lambda weights, x: x @ weights  # noqa: E731
    for factor in (1.0, 2.0):
        weights = jnp.full((3, 2), factor)
        now = closures.as_of_now(Partial(apply, weights), X)
        np.testing.assert_allclose(program(now, X)[0], X @ weights)
    assert program._cache_size() == 1
    assert closures.as_of_now(now, X) is now


def test_a_function_on_the_host_looks_up_at_each_call(kept):
    def host(x):
        return np.asarray(x @ np.asarray(kept["w"]), np.float32)

    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    model = lambda x: jax.pure_callback(host, shape, x)  # noqa: E731
    program = jax.jit(lambda model, x: model(x))
    for factor in (1.0, 2.0):
        kept["w"] = factor * kept["w"]
        found = program(closures.as_of_now(model, X), X)
        np.testing.assert_allclose(found, X @ kept["w"])
    assert program._cache_size() == 1


def test_a_callback_that_holds_something_else_is_another_program(kept):
    shape = jax.ShapeDtypeStruct((2,), jnp.float32)

    def model(x):
        then = np.asarray(kept["w"])
        return jax.pure_callback(lambda x: np.asarray(x @ then, np.float32), shape, x)

    program = jax.jit(lambda model, x: model(x))
    for factor in (1.0, 2.0):
        kept["w"] = factor * kept["w"]
        found = program(closures.as_of_now(model, X), X)
        np.testing.assert_allclose(found, X @ kept["w"])


def test_a_callback_is_held_by_its_mark(kept):
    """Freed, it would leave its address to the next one, which holds something else."""
    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    made = []

    def model(x):
        then = np.asarray(kept["w"])
        called = lambda x: np.asarray(x @ then, np.float32)  # noqa: E731
        made.append(weakref.ref(called))
        return jax.pure_callback(called, shape, x)

    mark = closures.mark_of_now(model, X)
    gc.collect()
    (one,) = made
    assert one() is not None
    assert mark != closures.mark_of_now(model, X)
    del mark
    gc.collect()
    assert one() is None


def test_structures_in_and_out(kept):
    model = lambda x, key: {"y": x["a"] @ kept["w"], "key": jax.random.uniform(key)}  # noqa: E731
    example = {"a": X}, jax.random.key(3)
    found = closures.as_of_now(model, *example)(*example)
    np.testing.assert_allclose(found["y"], X @ kept["w"])
    np.testing.assert_allclose(found["key"], jax.random.uniform(jax.random.key(3)))


def test_traced_now_is_not_from_memory(kept):
    model = lambda x: x * kept["scale"]  # noqa: E731
    for scale in (2.0, 7.0):
        kept["scale"] = scale
        assert f"{scale}" in str(closures.traced_now(model, X)[0])


def test_a_mark_is_of_text_and_of_what_is_looked_up(kept):
    function = lambda x: jnp.sum(x @ kept["w"]) * kept["scale"]  # noqa: E731
    first, again = (closures.mark_of_now(function, X) for _ in range(2))
    assert first == again
    kept["w"] = -kept["w"]
    other = closures.mark_of_now(function, X)
    kept["scale"] = 3.0
    assert len({first, other, closures.mark_of_now(function, X)}) == 3
