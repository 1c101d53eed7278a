"""Checkpoints: equal when whole, refused in one sentence when not."""

import functools
import hashlib
import json
import pathlib
import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import models
from robust_jax.models import checkpoints
from tests.models.weights import SMALL, random_weights

SHAPE = (6, 6, 1)


def small(**config):
    module = models.by_name("mlp", hidden=(3, 2), num_classes=4, std=(0.5,), **config)
    return module, random_weights(module, SHAPE)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.safetensors"
    module, variables = small()
    models.save(path, module, variables, input_shape=SHAPE, metadata={"epoch": 3})
    return path


def assert_refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        models.load(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", models.names())
def test_what_comes_back_is_what_was_saved(tmp_path, name):
    module = models.by_name(name, num_classes=3, mean=(0.1,), **SMALL.get(name, {}))
    variables = random_weights(module, (16, 16, 1))
    metadata = {"recipe": "pgd", "accuracy": np.float32(0.5), "history": [1, None]}
    path = tmp_path / "net.safetensors"
    models.save(path, module, variables, input_shape=(16, 16, 1), metadata=metadata)
    back = models.load(path)
    assert back.module == module
    assert back.input_shape == (16, 16, 1)
    assert back.metadata == {"recipe": "pgd", "accuracy": 0.5, "history": [1, None]}
    assert jax.tree.structure(back.variables) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back.variables, variables)
    x = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1))
    logits = jax.jit(module.apply)(variables, x)
    np.testing.assert_array_equal(jax.jit(lambda f, x: f(x))(back.logits_fn, x), logits)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_dtypes_are_kept(tmp_path, dtype):
    module, variables = small()
    variables = jax.tree.map(lambda p: p.astype(dtype), variables)
    models.save(tmp_path / "net", module, variables, input_shape=SHAPE)
    back = models.load(tmp_path / "net").variables
    assert jax.tree.leaves(back)[0].dtype == dtype
    jax.tree.map(np.testing.assert_array_equal, back, variables)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.complex64])
def test_weights_of_another_kind_are_refused(tmp_path, monkeypatch, dtype):
    """Rounded to integers they would be another net, with the same shapes."""
    module, variables = small()
    changed = jax.tree.map(lambda p: np.asarray(p).astype(dtype), variables)
    words = f"the weights params/.* are {np.dtype(dtype)}, but .* expects float32; use"
    with pytest.raises(ValueError, match=words):
        models.save(tmp_path / "other", module, changed, input_shape=SHAPE)
    if dtype is np.complex64:  # No file can hold them.
        return
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "check_fit", lambda *given: None)
        models.save(tmp_path / "net", module, changed, input_shape=SHAPE)
    assert_refused(tmp_path / "net", words)


def test_float64_that_float32_holds_comes_back(tmp_path):
    module, variables = small()
    wide = jax.tree.map(lambda p: np.asarray(p, np.float64), variables)
    models.save(tmp_path / "net", module, wide, input_shape=SHAPE)
    back = models.load(tmp_path / "net").variables
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_float64_is_not_rounded_in_silence(tmp_path):
    module, variables = small()
    variables = jax.tree.map(lambda p: np.asarray(p, np.float64) / 3, variables)
    models.save(tmp_path / "net", module, variables, input_shape=SHAPE)
    assert_refused(tmp_path / "net", "float64.*jax_enable_x64")
    with jax.enable_x64(True):
        back = models.load(tmp_path / "net").variables
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_equal_arguments_make_equal_bytes(path, tmp_path):
    module, variables = small()
    reversed_tree = {"params": dict(reversed(variables["params"].items()))}
    again = tmp_path / "again"
    models.save(again, module, reversed_tree, input_shape=SHAPE, metadata={"epoch": 3})
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("order", ["transposed", "big-endian"])
def test_the_numbers_are_kept_however_they_lie_in_memory(tmp_path, order):
    module, variables = small()
    change = {
        "transposed": lambda p: np.asfortranarray(p),
        "big-endian": lambda p: np.asarray(p).astype(">f4"),
    }[order]
    laid = jax.tree.map(change, variables)
    models.save(tmp_path / "net", module, laid, input_shape=SHAPE)
    back = models.load(tmp_path / "net").variables
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_attributes_that_came_later_are_written_where_they_are_not_the_usual_ones(
    tmp_path,
):
    """So that earlier releases read the nets that they have."""
    for layout, written in (("rice", []), ("wong", ["layout"])):
        module = models.by_name("preact_resnet18", width=4, layout=layout)
        weights = random_weights(module, (16, 16, 3))
        models.save(tmp_path / "net", module, weights, input_shape=(16, 16, 3))
        raw = (tmp_path / "net").read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        config = json.loads(header["__metadata__"]["config"])
        assert list(config) == ["num_classes", "mean", "std", "width", *written]
        assert models.load(tmp_path / "net").module == module


def test_missing(tmp_path):
    assert_refused(tmp_path / "none", "expected a checkpoint", FileNotFoundError)


def test_a_directory(tmp_path):
    assert_refused(tmp_path, "directory", FileNotFoundError)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        np.random.default_rng(0).bytes(1000),
        pickle.dumps(Bomb()),
        b'\x10\x00\x00\x00\x00\x00\x00\x00{"a": 1}        ',  # Other safetensors.
    ],
    ids=["empty", "short", "noise", "pickle", "safetensors"],
)
def test_foreign(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert_refused(path, "another kind of file")


def test_every_cut_is_refused(path):
    raw = path.read_bytes()
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        whole_start = length >= 64
        assert_refused(path, "cut short" if whole_start else "cut short|first bytes")


def test_every_changed_byte_is_refused(path):
    raw = path.read_bytes()
    for position in range(0, len(raw), 5):
        changed = bytearray(raw)
        changed[position] ^= 1 << (position % 7)
        path.write_bytes(changed)
        assert_refused(path, "path=")


def resign(path, change, more=b""):
    """Changes the header of a file, and makes its checksum right again."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header, blank = json.loads(raw[8:start]), 64 * "0"
    change(header)
    data = raw[start:] + more
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["sha256"] = blank
    text = json.dumps(header, separators=(",", ":")).encode()
    digest = hashlib.sha256(text + data).hexdigest()
    text = text.replace(blank.encode(), digest.encode(), 1)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


KERNEL = "params/Dense_2/kernel"
NESTED = functools.reduce(lambda inner, _: [inner], range(500), 1)
WRONG = {  # Of an array's entry.
    "shape": [[-1], [-1, -8], [8, 1, 1.0], ["8"], 8, None, [True], [10**30], NESTED],
    "dtype": ["F31", None, 32, ["F32"], {}],
    "data_offsets": [[0, 2**62], [-8, 24], [0], [], None, "ab", [0, 32], [8.0, 40.0]],
}
WRONG_TEXTS = {  # Of the description.
    "config": ["[]", "null", "{", "1", "[" * 100_000, 5, None, '{"hidden": 3}',
               '{"num_classes": "4"}', '{"hidden": [-3, 2]}', '{"hidden": ["a"]}',
               '{"depth": 3}', '{"hidden": null}'],
    "input_shape": ["{}", "[0, 6, 1]", '["6", 6, 1]', "[-6, 6, 1]", "[]", "[6]", "null",
                    "[1e400]", None],
    "metadata": ["[]", "null", "}", None, 1],
    "model": ["", "mpl", None, {}],
}  # fmt: skip


def wrong(header, name, key, value):
    if value is None:
        header[name].pop(key)
    header[name] |= {key: value} if value is not None else {}


@pytest.mark.parametrize("key", [*WRONG, *WRONG_TEXTS])
def test_a_malformed_header_with_a_right_checksum_is_refused(path, key):
    raw, name = path.read_bytes(), KERNEL if key in WRONG else "__metadata__"
    for value in WRONG.get(key) or WRONG_TEXTS[key]:
        path.write_bytes(raw)
        resign(path, lambda header, value=value: wrong(header, name, key, value))
        assert_refused(path, "path=")


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update({KERNEL: NESTED}),
        lambda header: header.update({KERNEL: None}),
        lambda header: header[KERNEL].pop("shape"),
        lambda header: header.pop(KERNEL),
        lambda header: header.update({KERNEL: header.pop(KERNEL), "a": {}}),
        lambda header: header.update(more=header[KERNEL]),
    ],
)
def test_a_malformed_table_with_a_right_checksum_is_refused(path, change):
    resign(path, change)
    assert_refused(path, "path=")


def test_a_header_nested_beyond_python_is_refused(path):
    start = path.read_bytes()[8:].split(b",")[0]
    text = start + b',"x":' + b"[" * 100_000
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert_refused(path, "damaged")


@pytest.mark.parametrize("more", [b"\0", b"more"])
def test_bytes_behind_the_arrays_are_refused(path, more):
    raw = path.read_bytes()
    path.write_bytes(raw + more)
    assert_refused(path, f"{len(raw) + len(more)} bytes in place of {len(raw)}")
    path.write_bytes(raw)
    resign(path, lambda header: None, more)
    assert_refused(path, "bytes in place of")


def test_of_another_file_the_first_bytes_are_read_alone(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # More than fits memory.
    assert_refused(path, "another kind of file")
    assert_refused(pathlib.Path("/dev/zero"), "another kind of file")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.onnx", "of ONNX, name the model onnx:.*net.onnx$"),
        ("net.pt", "torch:package.module:factory, and weights=.*net.pt$"),
        ("net.safetensors", "check the name$"),
    ],
)
def test_another_kind_of_file_says_how_it_comes_in(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"another")
    assert_refused(tmp_path / name, said)


def test_a_later_format_is_named(path):
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"version":"1"', b'"version":"2"'))
    assert_refused(path, "version 2.*update robust_jax")


def test_a_net_that_this_library_lacks(path, monkeypatch):
    monkeypatch.delitem(models.catalog.NETWORKS, "mlp")
    assert_refused(path, "unknown model 'mlp'")


def test_weights_of_another_net_are_refused(path):
    before = path.read_bytes()
    module, variables = small()
    other = models.by_name("mlp", hidden=(3,), num_classes=4)
    with pytest.raises(ValueError, match="Dense_1/bias have shape .2,.*expects .4,"):
        models.save(path, other, variables, input_shape=SHAPE)
    with pytest.raises(ValueError, match="Dense_0/kernel have shape .36, 3"):
        models.save(path, module, variables, input_shape=(5, 5, 1))
    assert path.read_bytes() == before


def test_weights_that_do_not_fit_the_net_on_disk(path, monkeypatch):
    class Grown(models.MLP):
        """The net of a later release, with one more layer."""

        def __call__(self, x, train=False):
            return super().__call__(x, train)

    # As if the definition of the net had changed since the file was written.
    grown = lambda **config: Grown(**{**config, "hidden": (3, 2, 2)})  # noqa: E731
    grown.__dataclass_fields__ = models.MLP.__dataclass_fields__
    monkeypatch.setitem(models.catalog.NETWORKS, "mlp", grown)
    assert_refused(path, r"weights params/Dense_2/bias have shape \(4,\).*Grown")


def test_a_failed_save_leaves_the_old_file(path):
    before = path.read_bytes()
    module, variables = small()
    with pytest.raises(ValueError, match="metadata|object"):
        models.save(
            path, module, variables, input_shape=SHAPE, metadata={"a": object()}
        )
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_replaces_the_old_one_whole(path):
    before = path.read_bytes()
    module, variables = small()
    with path.open("rb") as reader:  # Somebody has begun to read.
        models.save(path, module, variables, input_shape=SHAPE, metadata={"epoch": 4})
        assert reader.read() == before
    assert models.load(path).metadata == {"epoch": 4}


def test_a_module_without_a_name(tmp_path):
    class Mine(models.MLP):
        pass

    module = Mine(hidden=(), num_classes=2)
    variables = random_weights(module, SHAPE)
    with pytest.raises(ValueError, match=r"module=Mine; expected a net of models\."):
        models.save(tmp_path / "net", module, variables, input_shape=SHAPE)


def test_a_missing_directory(tmp_path):
    module, variables = small()
    with pytest.raises(FileNotFoundError, match="expected an existing directory"):
        models.save(tmp_path / "a" / "net", module, variables, input_shape=SHAPE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": 3}, "path=3; expected the name of a file"),
        ({"module": nn.Dense(3)}, "module=Dense; expected a net of models.by_name"),
        ({"variables": [1]}, r"variables=\[1\]; expected a tree of arrays in dicts"),
        ({"input_shape": "x"}, "input_shape='x'; expected a tuple of sizes"),
        ({"input_shape": (6, 0, 1)}, "size of input_shape=0; expected an integer >= 1"),
        ({"input_shape": (5, 6, 1)}, r"module=MLP\(.*; the weights .* have shape"),
        ({"metadata": 3}, "metadata=3; expected a dict of JSON data"),
    ],
)
def test_what_cannot_be_saved_is_said_in_a_line(tmp_path, change, said):
    module, variables = small()
    usual = {"path": tmp_path / "net", "module": module, "variables": variables}
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        models.save(**usual | {"input_shape": SHAPE} | change)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
