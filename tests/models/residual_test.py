"""Residual nets and batch modes beside PyTorch's numbers; sizes as published."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, evaluate, models, threats
from robust_jax.models import functional

GOLDEN = json.loads(
    (pathlib.Path(__file__).parent / "golden" / "residual.json").read_text()
)["nets"]
NETS = {
    "preact_resnet18": ("preact_resnet18", {"width": 4}),
    "resnet18": ("resnet18", {"width": 4}),
    "trades": ("wide_resnet", {"depth": 10, "width": 2}),
    "deepmind": (
        "wide_resnet",
        {"depth": 10, "width": 2, "layout": "deepmind", "activation": "silu"},
    ),
}


def formula(shape, n):
    return np.sin(1.7 * np.arange(np.prod(shape)) + n).reshape(shape)


def filled(params, n=0):
    """Weights by the formula in the order in which the net makes them."""
    statistics = {}
    if "scale" in params:
        shape = params["scale"].shape
        new = {
            "scale": 1 + 0.3 * formula(shape, n),
            "bias": 0.2 * formula(shape, n + 1),
        }
        statistics = {
            "mean": 0.1 * formula(shape, n + 2),
            "var": 1 + 0.5 * formula(shape, n + 3),
        }
        return new, statistics, n + 4
    if "kernel" in params:
        shape = params["kernel"].shape
        new = {"kernel": formula(shape, n) / np.sqrt(np.prod(shape[:-1]))}
        if "bias" in params:
            new["bias"] = 0.1 * formula(params["bias"].shape, n + 1)
        return new, statistics, n + len(new)
    new = {}
    for name, part in params.items():
        new[name], inner, n = filled(part, n)
        if inner:
            statistics[name] = inner
    return new, statistics, n


@functools.cache
def problem(kind):
    name, config = NETS[kind]
    module = models.by_name(name, num_classes=5, **config)
    names = []  # In the order in which the net makes its arrays.

    def init(key):
        made = module.init(key, jnp.zeros((16, 16, 3)))
        names.append(made["params"])
        return made

    jax.eval_shape(init, jax.random.key(0))
    params, statistics, _ = filled(names[0])
    variables = {"params": params, "batch_stats": statistics}
    variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), variables)
    images = jnp.asarray(0.5 + 0.5 * formula((4, 16, 16, 3), 100), jnp.float32)
    return models.ApplyMode(module), variables, images


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def answers(apply_fn, variables, images, mode, one_by_one):
    """Logits, the gradient of a weighted sum of them, and the variables after it."""
    weights = jnp.asarray(formula((4, 5), 7), jnp.float32)

    def value(images):
        if one_by_one:
            each = lambda x: apply_fn(variables, x, mode)[0]  # noqa: E731
            logits = jax.vmap(each, axis_name="batch")(images)
            return jnp.sum(weights * logits), (logits, variables)
        logits, after = apply_fn(variables, images, mode)
        return jnp.sum(weights * logits), (logits, after)

    (_, aux), gradient = jax.value_and_grad(value, has_aux=True)(images)
    return aux[0], gradient, aux[1]


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize(
    ("mode", "torchs"), [("eval", "eval"), ("batch+update", "train")]
)
def test_values_gradients_and_statistics_are_pytorchs(kind, mode, torchs):
    apply_fn, variables, images = problem(kind)
    logits, gradient, after = answers(apply_fn, variables, images, mode, False)
    expected = GOLDEN[kind][torchs]
    np.testing.assert_allclose(logits, expected["logits"], rtol=2e-5, atol=2e-5)
    shown = np.asarray(gradient).ravel()[::149]
    scale = np.abs(expected["gradient"]).max()
    np.testing.assert_allclose(shown, expected["gradient"], atol=1e-4 * scale)
    if mode == "eval":
        jax.tree.map(np.testing.assert_array_equal, after, variables)
        return
    last = [n for n in variables["batch_stats"] if n.startswith("BatchNorm")][-1]
    if kind == "resnet18":  # Its last normalisation lies in the last block.
        last = "_PostActBlock_7"
        after = {"batch_stats": {last: after["batch_stats"][last]["BatchNorm_1"]}}
    for name in ("mean", "var"):
        found = np.asarray(after["batch_stats"][last][name])[:8]
        np.testing.assert_allclose(
            found, expected[f"last_{name}"], rtol=2e-5, atol=1e-6
        )


# What the other nets have of their own is compared with PyTorch's numbers above.
@pytest.mark.parametrize(
    "kind", ["trades", pytest.param("preact_resnet18", marks=pytest.mark.full)]
)
def test_one_by_one_over_the_batch_axis_is_the_batch(kind):
    apply_fn, variables, images = problem(kind)
    together = answers(apply_fn, variables, images, "batch", False)
    apart = answers(apply_fn, variables, images, "batch", True)
    np.testing.assert_allclose(apart[0], together[0], rtol=1e-5, atol=1e-5)
    scale = np.abs(together[1]).max()  # Rounding grows through 10 to 18 layers.
    np.testing.assert_allclose(apart[1], together[1], atol=1e-4 * scale)
    jax.tree.map(np.testing.assert_array_equal, together[2], variables)
    # In "eval" and "frozen" nobody's company matters.
    logits = jax.jit(
        lambda images, mode: apply_fn(variables, images, mode)[0], static_argnums=1
    )
    alone, with_others = logits(images[0], "frozen"), logits(images, "eval")
    np.testing.assert_allclose(alone, with_others[0], rtol=1e-5, atol=1e-5)
    assert np.abs(together[0] - with_others).max() > 1e-2


def test_a_layer_has_the_same_gradients_either_way():
    norm = models.BatchNorm()
    x = jax.random.normal(jax.random.key(0), (6, 3, 3, 2)) + jnp.array([1.0, -2.0])
    weights = jax.random.normal(jax.random.key(1), x.shape)
    variables = norm.init(jax.random.key(2), x)

    def value(params, x, one_by_one):
        apply = lambda x: norm.apply({**variables, "params": params}, x, "batch")  # noqa: E731
        y = jax.vmap(apply, axis_name="batch")(x) if one_by_one else apply(x)
        return jnp.sum(weights * jnp.tanh(y))

    gradient = jax.value_and_grad(value, argnums=(0, 1))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
        gradient(variables["params"], x, True),
        gradient(variables["params"], x, False),
    )


def test_batch_statistics_of_one_example_are_refused():
    apply_fn, variables, images = problem("trades")
    with pytest.raises(ValueError, match=r"batch statistics of one example; expected"):
        apply_fn(variables, images[0], "batch")


def test_ghosts_share_statistics_among_themselves():
    norm, x = models.BatchNorm(ghost=2), problem("trades")[2]
    variables = norm.init(jax.random.key(0), x)
    y, moved = norm.apply(variables, x, "batch+update", mutable=["batch_stats"])
    whole = models.BatchNorm()
    for i in (0, 2):
        np.testing.assert_allclose(
            y[i : i + 2], whole.apply(variables, x[i : i + 2], "batch"), atol=1e-5
        )
    halves = np.asarray(x).reshape(2, -1, 3).mean(axis=1)
    mean = moved["batch_stats"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * halves.mean(axis=0), rtol=1e-5)
    with pytest.raises(ValueError, match="ghost=2 does not divide a batch of 3"):
        norm.apply(variables, x[:3], "batch")


def count(name, **config):
    shapes = functional.abstract_variables(models.by_name(name, **config), (32, 32, 3))
    return sum(int(np.prod(a.shape)) for a in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(
    ("name", "config", "parameters"),
    [
        ("preact_resnet18", {}, 11_172_170),
        ("resnet18", {}, 11_173_962),
        ("wide_resnet", {"depth": 28, "width": 10}, 36_479_194),
        ("wide_resnet", {"depth": 34, "width": 10}, 46_160_474),
        ("wide_resnet", {"depth": 28, "layout": "deepmind"}, 36_479_194),
        ("resnet", {"depth": 18, "num_classes": 1000}, 11_689_512),
        ("resnet", {"depth": 50, "num_classes": 1000}, 25_557_032),
        ("resnet", {"depth": 50, "num_classes": 1000, "inner": 2}, 68_883_240),
        ("resnet", {"depth": 50, "stem": "small"}, 23_520_842),
    ],
)
def test_sizes_are_the_published_ones(name, config, parameters):
    assert count(name, **config) == parameters


def test_flops_of_a_resnet_are_those_of_its_layers():
    stages, products = ((64, 32), (128, 16), (256, 8), (512, 4)), 32**2 * 27 * 64
    before = 64
    for features, side in stages:
        products += side**2 * 9 * features * (before + 3 * features)
        products += 0 if before == features else side**2 * before * features
        before = features
    products += 5120
    assert models.flops(models.by_name("preact_resnet18"), (32, 32, 3)) == 2 * products


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("wide_resnet", {"depth": 27}, "depth=27; expected 6 n"),
        ("wide_resnet", {"depth": 10, "layout": "keras"}, "layout='keras'; expected"),
        ("wide_resnet", {"depth": 10, "activation": "tanh"}, "activation='tanh'"),
        ("preact_resnet18", {"layout": "trades"}, "layout='trades'; expected rice or "),
        ("preact_resnet18", {"activation": "tanh"}, "activation='tanh'; expected relu"),
        ("resnet", {"depth": 20}, "depth=20; expected one of 18, 34, 50, 101, 152"),
        ("resnet", {"stem": "large"}, "stem='large'; expected imagenet or small"),
        ("vit", {"patch": 5}, "patch=5 does not divide images of 32x32"),
    ],
)
def test_bad_nets_are_refused(name, config, words):
    with pytest.raises(ValueError, match=words):
        count(name, **config)


def test_nets_with_statistics_are_saved_attacked_and_judged(tmp_path):
    apply_fn, variables, images = problem("trades")
    path = tmp_path / "net.safetensors"
    models.save(path, apply_fn.module, variables, input_shape=(16, 16, 3))
    loaded = models.load(path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert loaded.module == apply_fn.module
    variables = models.init(loaded.module, jax.random.key(0), (16, 16, 3))
    net = models.logits_fn(loaded.module, variables)
    report = evaluate.robustness(
        net,
        images,
        np.argmax(jax.jit(net)(images), axis=1),
        threats.Linf(0.5),
        plan=(evaluate.Stage("pgd", attacks.pgd(5, 0.5)),),
        audit=False,
    )
    assert report.clean_accuracy.value == 1 and report.robust_accuracy.value < 1


def test_a_transformer_answers_one_image_as_it_answers_many():
    module = models.by_name("vit", depth=2, width=24, num_classes=5, dropout=0.5)
    variables = models.init(module, jax.random.key(0), (8, 8, 3))
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 3))
    apply_fn = jax.jit(models.ApplyMode(module), static_argnums=2)
    together, _ = apply_fn(variables, images, "batch")
    np.testing.assert_allclose(
        apply_fn(variables, images[1], "eval")[0], together[1], rtol=1e-4, atol=1e-5
    )
    dropped, _ = apply_fn(variables, images, "frozen", jax.random.key(2))
    assert np.abs(dropped - together).max() > 1e-3
    moved = images.at[:, :4].set(images[:, 4:]).at[:, 4:].set(images[:, :4])
    assert np.abs(apply_fn(variables, moved, "batch")[0] - together).max() > 1e-4
