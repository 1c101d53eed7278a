"""Models by a text: the same logits as the model itself, or one sentence."""

import pathlib
import pickle
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx, serialization, traverse_util

import robust_jax as rj
from robust_jax.core import origin

IMAGES = np.random.default_rng(0).random((3, 4, 4, 2), dtype=np.float32)
SOURCE = """
import flax.linen as nn, jax.numpy as jnp
from flax import nnx

WEIGHTS = jnp.arange(96.0).reshape(32, 3) / 96

def net(x):
    return x.reshape(-1) @ WEIGHTS

def make():
    return lambda x: 2 * net(x)

def broken():
    raise RuntimeError("no weights here")

def nothing():
    return 3

class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = True):
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(x.reshape(-1))

class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(32, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.drop(self.norm(x)).reshape(-1))

def make_nnx():
    return Nnx(nnx.Rngs(0))

class Head:
    decision_function = None
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """A module of a user's, and the folder that it is in."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users_nets.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    import users_nets

    yield users_nets
    sys.path.remove(str(folder))
    del sys.modules["users_nets"]


def asked(model, images=IMAGES):
    return jax.vmap(model)(images)


def test_a_function_and_what_a_factory_gives(nets):
    function = rj.load_model("python:users_nets:net")
    np.testing.assert_array_equal(asked(function), asked(nets.net))
    assert origin.of(function).source == "python users_nets:net"
    made = rj.load_model("python:users_nets:make()")
    np.testing.assert_array_equal(asked(made), asked(nets.make()))


def test_the_normalisation_is_inside(nets):
    given = {"input_range": (0, 255), "mean": [1.0, 2.0], "std": 3.0}
    model = rj.load_model("python:users_nets:net", **given)
    expected = asked(nets.net, (255 * IMAGES - np.array([1, 2], np.float32)) / 3)
    np.testing.assert_allclose(asked(model), expected, rtol=1e-5)
    first = rj.load_model("python:users_nets:net", layout="CHW", **given)
    turned = IMAGES.transpose(0, 3, 1, 2)
    of = np.array([1, 2], np.float32)[:, None, None]
    expected = asked(nets.net, (255 * turned - of) / 3)
    np.testing.assert_allclose(asked(first, turned), expected, rtol=1e-5)
    assert origin.of(first).layout == "CHW"


def test_a_checkpoint(tmp_path):
    module, path = rj.models.by_name("mlp", hidden=()), tmp_path / "net.safetensors"
    variables = rj.models.init(module, jax.random.key(0), (4, 4, 2))
    rj.models.save(path, module, variables, input_shape=(4, 4, 2))
    model = rj.load_model(str(path))
    expected = rj.models.logits_fn(module, variables)(IMAGES)
    np.testing.assert_allclose(asked(model), expected, atol=1e-6)
    said = origin.of(model)
    assert (said.source, said.layout) == ("robust_jax MLP", "HWC")
    turned = rj.load_model(str(path), layout="CHW")
    np.testing.assert_allclose(
        asked(turned, IMAGES.transpose(0, 3, 1, 2)), expected, atol=1e-6
    )


def drawn(tree):
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), tree
    )


def written(path, flat):
    if path.suffix == ".npz":
        np.savez(path, **flat)
    elif path.suffix == ".msgpack":
        tree = traverse_util.unflatten_dict(flat, sep="/")
        path.write_bytes(serialization.to_bytes(tree))
    else:
        safetensors.numpy.save_file(
            {name.replace("/", "."): array for name, array in flat.items()}, path
        )
    return path


@pytest.mark.parametrize("name", ["net.npz", "net.msgpack", "net.safetensors"])
def test_a_linen_module_with_weights_of_a_file(nets, tmp_path, name):
    shapes = jax.eval_shape(nets.Linen().init, jax.random.key(0), IMAGES[0])
    variables = drawn(shapes)
    path = written(tmp_path / name, traverse_util.flatten_dict(variables, sep="/"))
    spec = "flax:users_nets:Linen"
    model = rj.load_model(spec, weights=path, images=IMAGES)
    expected = nets.Linen().apply(variables, IMAGES[0], train=False)
    np.testing.assert_allclose(model(IMAGES[0]), expected, rtol=1e-6)
    other = rj.load_model(spec, weights=path, images=IMAGES)
    assert jax.tree.structure(other) == jax.tree.structure(model)


def test_params_alone_need_no_collection(nets, tmp_path):
    (tmp_path / "users_dense.py").write_text(
        "import flax.linen as nn\n"
        "class Net(nn.Module):\n"
        "    @nn.compact\n"
        "    def __call__(self, x): return nn.Dense(3)(x.reshape(-1))\n"
    )
    kernel, bias = drawn((np.zeros((32, 3)), np.zeros(3)))
    flat = {"Dense_0/kernel": kernel, "Dense_0/bias": bias}
    path = written(tmp_path / "net.npz", flat)
    sys.path.insert(0, str(tmp_path))
    model = rj.load_model("flax:users_dense:Net", weights=path, images=IMAGES)
    sys.path.remove(str(tmp_path))
    np.testing.assert_allclose(
        model(IMAGES[0]), IMAGES[0].reshape(-1) @ kernel + bias, rtol=1e-5
    )


def test_an_nnx_module_with_weights_of_a_file(nets, tmp_path):
    module = nets.make_nnx()
    flat = {
        "/".join(map(str, path)): drawn(leaf[...])
        for path, leaf in nnx.to_flat_state(nnx.state(module))
        if not isinstance(leaf, nnx.RngState)
    }
    path = written(tmp_path / "net.safetensors", flat)
    model = rj.load_model("flax:users_nets:make_nnx", weights=path)
    x = (IMAGES[0] - flat["norm/mean"]) / np.sqrt(flat["norm/var"] + 1e-5)
    x = x * flat["norm/scale"] + flat["norm/bias"]
    expected = x.reshape(-1) @ flat["dense/kernel"] + flat["dense/bias"]
    np.testing.assert_allclose(model(IMAGES[0]), expected, rtol=1e-4)


def test_a_classifier_of_scikit_learn(tmp_path):
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(IMAGES.reshape(3, -1), [0, 1, 2])
    skops.dump(fitted, tmp_path / "net.skops")
    model = rj.load_model(f"sklearn:{tmp_path / 'net.skops'}")
    expected = fitted.decision_function(IMAGES.reshape(3, -1))
    np.testing.assert_allclose(asked(model), expected, rtol=1e-5)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(nets, tmp_path):
    skops = pytest.importorskip("skops.io")
    ran = tmp_path / "ran"
    for name in ("net.skops", "net.pt", "net.npz", "net.safetensors", "net.msgpack"):
        (tmp_path / name).write_bytes(pickle.dumps(Malicious(ran), 2))
    np.savez(tmp_path / "objects.npz", w=np.array([Malicious(ran)], object))
    skops.dump(nets.Head(), tmp_path / "own.skops")
    linen = "flax:users_nets:Linen"
    for spec, weights in (
        (f"sklearn:{tmp_path / 'net.skops'}", None),
        (f"sklearn:{tmp_path / 'own.skops'}", None),
        (str(tmp_path / "net.safetensors"), None),
        (linen, "net.pt"),
        (linen, "net.npz"),
        (linen, "objects.npz"),
        (linen, "net.msgpack"),
        (linen, "net.safetensors"),
    ):
        given = {} if weights is None else {"weights": tmp_path / weights}
        with pytest.raises(ValueError, match=r"\w") as caught:
            rj.load_model(spec, images=IMAGES, **given)
        assert "\n" not in str(caught.value) and not ran.exists(), spec
    pickle.loads((tmp_path / "net.pt").read_bytes())  # It would.
    assert ran.exists()


def test_types_that_are_not_trusted_are_named(nets, tmp_path):
    skops = pytest.importorskip("skops.io")
    skops.dump(nets.Head(), tmp_path / "own.skops")
    with pytest.raises(
        ValueError, match=r"not trusted, users_nets.Head; nothing of it"
    ):
        rj.load_model(f"sklearn:{tmp_path / 'own.skops'}")


@pytest.mark.parametrize(
    ("spec", "given", "error", "said"),
    [
        (3, {}, TypeError, "model=3; expected a text"),
        ("pytorch:a:b", {}, ValueError, "unknown kind 'pytorch'; expected FILE.safe"),
        ("onnx:", {}, ValueError, "model=onnx:; expected onnx:FILE"),
        ("no.safetensors", {}, FileNotFoundError, "no.safetensors"),
        ("python:users_nets", {}, ValueError, "expected package.module:name"),
        ("python:users_nets:nat", {}, ValueError, "did you mean 'net'"),
        ("python:absent_nets:net", {}, ImportError, "no module absent_nets is found"),
        (
            "python:users_nets:Linen",
            {},
            TypeError,
            "model=Linen, a class; expected a function",
        ),
        ("python:users_nets:Linen()", {}, TypeError, "module of Flax Linen without"),
        ("python:users_nets:broken()", {}, ValueError, "RuntimeError: no weights here"),
        (
            "python:users_nets:nothing()",
            {},
            TypeError,
            "model of type int; expected a function",
        ),
        ("flax:users_nets:nothing", {}, TypeError, "a module of Linen or NNX"),
        ("flax:users_nets:Linen", {}, ValueError, "has no weights; pass weights=FILE"),
        ("flax:users_nets:Linen", {"weights": "w.npz"}, ValueError, "pass example= or"),
        (
            "flax:users_nets:Linen",
            {"weights": "no.npz", "images": IMAGES},
            FileNotFoundError,
            "no.npz",
        ),
        ("python:users_nets:net", {"weights": "w"}, ValueError, "holds its own; leave"),
        ("python:users_nets:net", {"layout": "NCHW"}, ValueError, "unknown layout"),
        ("python:users_nets:net", {"std": 0}, ValueError, "std=0; expected finite"),
        ("sklearn:no.skops", {}, FileNotFoundError, "sklearn:no.skops: no such file"),
        (
            "robustbench:Net",
            {},
            ImportError,
            "robustbench, which is not installed; run",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(nets, spec, given, error, said):
    with pytest.raises(error, match=said) as caught:
        rj.load_model(spec, **given)
    assert "\n" not in str(caught.value)


def test_weights_of_another_net_are_refused(nets, tmp_path):
    shapes = jax.eval_shape(nets.Linen().init, jax.random.key(0), IMAGES[0])
    flat = traverse_util.flatten_dict(drawn(shapes), sep="/")
    flat["params/Dense_0/kernel"] = flat["params/Dense_0/kernel"][1:]
    path, spec = written(tmp_path / "net.npz", flat), "flax:users_nets:Linen"
    said = r"net.npz; params.Dense_0.kernel has shape .31, 3., the module expects .32"
    with pytest.raises(ValueError, match=said):
        rj.load_model(spec, weights=path, images=IMAGES)
    del flat["params/Dense_0/kernel"]
    written(path, flat)
    with pytest.raises(ValueError, match=r"lack 'params.Dense_0.kernel'"):
        rj.load_model(spec, weights=path, images=IMAGES)
