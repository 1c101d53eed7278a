"""Nets of others on disk: made again by their function, and only with leave."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from robust_jax import models
from robust_jax.core import origin
from tests.models import foreign_nets as nets
from tests.models.checkpoints_test import resign

SHAPE = (6, 6, 1)
HERE = "tests.models.foreign_nets"
EVALUATION = {"train": False}
CONFIG = {"hidden": [3, 2], "slope": 0.1}


def linen(seed=0):
    module = nets.Dense(hidden=(3, 2), slope=0.1)
    variables = module.init(jax.random.key(seed), jnp.zeros((1, *SHAPE)), train=False)
    noise = jax.random.uniform(
        jax.random.key(seed + 1), (100,), minval=-0.5, maxval=0.5
    )
    return module, jax.tree.map(lambda a: a + noise[: a.shape[-1]], variables)


def stateful(seed=0, **config):
    module = nets.Layers(rngs=nnx.Rngs(seed), **config)
    module.norm.mean[...] = jnp.arange(3.0)
    return module


def save(path, factory=f"{HERE}:Dense", **changes):
    module, variables = linen()
    given = {"module": module, "variables": variables, "input_shape": SHAPE}
    given |= {"config": CONFIG, "options": EVALUATION} | changes
    models.save(path, factory=factory, **given)


@pytest.fixture
def images():
    return jax.random.uniform(jax.random.key(5), (2, 3, *SHAPE))


def test_a_linen_net_comes_back(tmp_path, images):
    module, variables = linen()
    save(tmp_path / "net", metadata={"epoch": 3})
    back = models.load(tmp_path / "net", allow_factory=True)
    assert back.module == module and back.metadata == {"epoch": 3}
    jax.tree.map(np.testing.assert_array_equal, back.variables, variables)
    expected = module.apply(variables, images.reshape(-1, *SHAPE), train=False)
    logits = jax.jit(lambda f, x: f(x))(back.logits_fn, images)
    np.testing.assert_allclose(logits.reshape(-1, 4), expected, rtol=1e-5, atol=1e-5)
    one = back.logits_fn(images[0, 0])
    np.testing.assert_allclose(one, expected[0], rtol=1e-5, atol=1e-5)
    said = origin.Origin(f"flax {HERE}:Dense", "HWC")
    assert origin.of(back.logits_fn) == said


def test_an_nnx_net_comes_back_in_evaluation_mode(tmp_path, images):
    module = stateful(scale=2.0)
    given = {"factory": f"{HERE}:Layers", "config": {"scale": 2.0}}
    models.save(tmp_path / "net", module, input_shape=SHAPE, **given)
    state = nnx.state(module)  # As loops of NNX have it, with that of dropout's keys.
    del state["dropout"]
    models.save(tmp_path / "again", module, state, input_shape=SHAPE, **given)
    assert (tmp_path / "net").read_bytes() == (tmp_path / "again").read_bytes()
    back = models.load(tmp_path / "net", allow_factory=True)
    module.eval()
    expected = module(images[0])
    np.testing.assert_allclose(back.logits_fn(images)[0], expected, atol=1e-5)
    np.testing.assert_array_equal(back.variables["norm"]["mean"], jnp.arange(3.0))


def test_new_weights_run_the_same_program(tmp_path, images):
    count = 0

    @jax.jit
    def traced(logits_fn, x):
        nonlocal count
        count += 1
        return logits_fn(x)

    given = {"input_shape": SHAPE, "factory": f"{HERE}:Layers"}
    logits = []
    for seed in range(2):
        models.save(tmp_path / "net", stateful(seed), **given)
        back = models.load(tmp_path / "net", allow_factory=True)
        logits.append(traced(back.logits_fn, images))
    assert count == 1 and np.abs(logits[1] - logits[0]).max() > 1e-3


def test_no_code_is_imported_without_leave(tmp_path, monkeypatch):
    module = tmp_path / "given_by_a_file.py"
    module.write_text(f"from {HERE} import Dense")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "net"
    save(path, factory="given_by_a_file:Dense")
    del sys.modules["given_by_a_file"]
    module.write_text("raise AssertionError('imported')")
    said = (
        "the function 'given_by_a_file:Dense', .*pass allow_factory=True if you trust"
    )
    with pytest.raises(ValueError, match=said) as caught:
        models.load(path)
    assert str(path) in str(caught.value) and "given_by_a_file" not in sys.modules
    with pytest.raises(ImportError, match="net; factory=.*fails .AssertionError: impo"):
        models.load(path, allow_factory=True)


def test_a_factory_that_makes_another_net_by_now_is_refused(tmp_path, monkeypatch):
    """Its weights fit; what is done with them is not what was saved."""
    module = tmp_path / "changing.py"
    module.write_text(f"from {HERE} import Dense as make")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "net"
    save(path, factory="changing:make")
    models.load(path, allow_factory=True)
    other = lambda hidden, slope: nets.Dense(hidden=hidden, slope=0.3)  # noqa: E731
    monkeypatch.setattr(sys.modules["changing"], "make", other)
    with pytest.raises(ValueError, match="now gives other logits than when it was sav"):
        models.load(path, allow_factory=True)


REFUSED = {
    "a config that makes another net": (
        {"config": {"hidden": [3, 2], "slope": 0.5}},
        "what its factory makes of config gives other logits with the same weights",
    ),
    "a config that makes another shape": (
        {"config": {"hidden": [3, 3]}},
        r"weights batch_stats/BatchNorm_1/mean have shape \(2,\), but Dense .*\(3,\)",
    ),
    "a config that is not taken": (
        {"config": {"width": 3}},
        "called with config={'width': 3} it fails .TypeError: .*; pass the arguments",
    ),
    "no options": ({"options": None}, "module=Dense.*; weights|fails for a batch"),
    "another net": ({"factory": f"{HERE}:Summed", "config": {}}, "makes a Summed"),
    "a failure": (
        {"factory": f"{HERE}:failing", "config": {}}, "it fails .RuntimeError: no luck"
    ),
    "no net": (
        {"factory": f"{HERE}:function", "config": {}},
        "what it makes=<function .*; expected a module of flax.linen or flax.nnx",
    ),
    "no function": (
        {"factory": f"{HERE}:DEPTH"}, "DEPTH is 3; expected a function or a class"
    ),
    "no module": ({"factory": "nowhere:net"}, "no module nowhere is found"),
    "no name": ({"factory": "nowhere"}, "expected package.module:name"),
    "another shape": ({"input_shape": (5, 6, 1)}, "have shape .36, 3., but Dense on"),
    "a config of objects": ({"config": {"a": object()}}, "object"),
    "no config": ({"config": 3}, "config=3; expected a dict of JSON data"),
    "no factory": ({"factory": None}, "module=Dense; expected a net of models.by_name"),
    "no weights": ({"variables": None}, "variables=None; expected a tree of arrays"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_saved_is_said_in_a_line(tmp_path, kind):
    changes, said = REFUSED[kind]
    with pytest.raises((ValueError, TypeError, ImportError), match=said) as caught:
        save(tmp_path / "net", **changes)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_net_that_gives_no_logits_of_each_example_is_refused(tmp_path):
    module = nets.Summed()
    variables = module.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    with pytest.raises(ValueError, match=r"fails for a batch of shape \(8, 6, 6, 1\)"):
        save(
            tmp_path / "net", f"{HERE}:Summed",
            module=module, variables=variables, config={}, options={},
        )  # fmt: skip
    small = models.by_name("mlp", hidden=())
    weights = models.init(small, jax.random.key(0), SHAPE)
    with pytest.raises(ValueError, match="config= or options= without factory="):
        models.save(
            tmp_path / "net", small, weights, input_shape=SHAPE, options=EVALUATION
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": '{"hidden": [3, 3]}'}, "weights batch_stats/BatchNorm_1/mean have"),
        ({"config": '{"width": 3}'}, "called with config={'width': 3} it fails"),
        ({"config": "[]"}, "the checkpoint's config is .*expected a JSON dict"),
        ({"answers": "3"}, "the checkpoint's answers is '3'; expected a JSON list"),
        ({"answers": '["a"]'}, "now gives other logits than when it was saved"),
        ({"options": "3"}, "the checkpoint's options is '3'; expected a JSON dict"),
        ({"factory": "os:system"}, "called with config=.* it fails"),
        ({"factory": "../a:b"}, "expected package.module:name"),
        ({"factory": "x" * 10_000}, "expected package.module:name"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, changes, said):
    path = tmp_path / "net"
    save(path)
    resign(path, lambda header: header["__metadata__"].update(changes))
    with pytest.raises(ValueError, match=said) as caught:
        models.load(path, allow_factory=True)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence and len(sentence) < 600


def test_a_header_says_what_is_needed(tmp_path):
    save(tmp_path / "net")
    raw = (tmp_path / "net").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    assert header["factory"] == f"{HERE}:Dense" and "model" not in header
    assert json.loads(header["options"]) == EVALUATION
