"""Weights in files of PyTorch's users: nothing in them runs, and names are made fit."""

import os
import pathlib
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors import numpy as safetensors

from robust_jax import interop
from robust_jax.interop.torch_files import fitted

WEIGHTS = {
    "conv.weight": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "conv.num_batches_tracked": np.array(3),
}


def as_torch(factor=1.0):
    return {name: torch.from_numpy(np.array(v * factor)) for name, v in WEIGHTS.items()}


def same(found, factor=1.0):
    assert found.keys() == WEIGHTS.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, WEIGHTS[name] * factor)


def written(path, content):
    if path.suffix == ".npz":
        np.savez(path, **WEIGHTS)
    elif path.suffix == ".safetensors":
        safetensors.save_file(WEIGHTS, path)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.pt", "a.pth.tar"])
def test_each_kind_of_file_holds_the_same(tmp_path, name):
    same(interop.read_state_dict(written(tmp_path / name, as_torch())))


def test_half_precision_of_both_kinds_is_read(tmp_path):
    half = {"w": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}
    found = interop.read_state_dict(written(tmp_path / "a.pt", half))
    assert found["w"].dtype == jnp.bfloat16 and found["w"].tolist() == [1.5, -2.0]
    path = tmp_path / "a.safetensors"
    safetensors.save_file({"w": found["w"]}, path)
    again = interop.read_state_dict(path)["w"]
    assert again.dtype == jnp.bfloat16 and again.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("content", "factor"),
    [
        ({"epoch": 3, "state_dict": as_torch()}, 1),
        ({"model": as_torch(), "optimizer": {"state": {0: as_torch(2)}}}, 1),
        ({"net": {"state_dict": as_torch()}, "acc": 0.5}, 1),
        ({"state_dict": as_torch(), "state_dict_ema": as_torch(2)}, 2),
        ({"model_state_dict": as_torch(), "ema_model_state_dict": as_torch(2)}, 2),
        ({"net": as_torch(), "discriminator": as_torch(2)}, 1),
    ],
)
def test_the_weights_are_found_in_what_trainers_save(tmp_path, content, factor):
    same(interop.read_state_dict(written(tmp_path / "a.pt", content)), factor)


def test_an_entry_says_which_of_several_weights(tmp_path):
    content = {"a": as_torch(), "b": {"c": as_torch(2)}}
    path = written(tmp_path / "a.pt", content)
    same(interop.read_state_dict(path, entry="b.c"), 2)
    with pytest.raises(
        ValueError, match=r"several sets of weights; pass entry= one of "
    ):
        interop.read_state_dict(path)
    with pytest.raises(ValueError, match=r"entry='ema'; expected one of a, b\.c"):
        interop.read_state_dict(path, entry="ema")


def old(content, file):
    pickle.dump(content, file, protocol=2)


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("writer", [torch.save, old])
def test_code_in_a_file_is_not_run(tmp_path, writer):
    path, made = tmp_path / "a.pt", tmp_path / "made"
    with path.open("wb") as file:
        writer({"more": Attack(made), "state_dict": as_torch()}, file)
    with pytest.raises(ValueError, match=r"holds code \(posix.system\) beside weights"):
        interop.read_state_dict(path)
    assert not made.exists()


def test_code_in_an_archive_of_numpy_is_not_run(tmp_path):
    path, made = tmp_path / "a.npz", tmp_path / "made"
    np.savez(path, w=np.array([Attack(made)], object))
    with pytest.raises(ValueError, match="damaged or of another kind"):
        interop.read_state_dict(path)
    assert not made.exists()


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.pt"])
@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_a_damaged_file_is_one_sentence(tmp_path, name, damage):
    path = written(tmp_path / name, as_torch())
    content = path.read_bytes()
    new = {"cut": content[: len(content) // 2], "foreign": b"hello " * 99, "empty": b""}
    path.write_bytes(new[damage])
    with pytest.raises(
        ValueError, match=r"cut short, damaged or of another kind \(.+"
    ) as e:
        interop.read_state_dict(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("nowhere.pt", FileNotFoundError, "nowhere.pt; expected a file with weights"),
        (__file__, ValueError, r"that ends in \.safetensors, \.npz, \.pt"),
        (3, TypeError, "path=3; expected the name of a file"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(path, kind, part):
    with pytest.raises(kind, match=part):
        interop.read_state_dict(path)


def test_a_file_without_weights_is_refused(tmp_path):
    path = written(tmp_path / "a.pt", {"epoch": 3})
    with pytest.raises(ValueError, match="holds no weights by name; save module"):
        interop.read_state_dict(pathlib.Path(path))


NAMES = ["a.w", "a.b", "c.w", "c.num_batches_tracked"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (NAMES, NAMES),
        ([f"module.{name}" for name in NAMES], NAMES),
        ([f"module.model.{name}" for name in reversed(NAMES)], NAMES),
        (["n_averaged", *(f"module.{name}" for name in NAMES)], NAMES),
        (NAMES[:3], NAMES),
        (NAMES, NAMES[:3]),
        (NAMES, [f"1.{name}" for name in NAMES]),
    ],
)
def test_prefixes_of_wrappers_are_made_fit(given, expected):
    found = fitted({name: name.split(".")[-2:] for name in given}, expected)
    both = [name for name in expected if any(name[-3:] == one[-3:] for one in given)]
    assert list(found) == both
    assert all(name.split(".")[-2:] == value for name, value in found.items())


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["a.w", "c.w"], r"lack 'a\.b', which the net has; .* begin with 'a\.w'"),
        (["m.a.w", "m.c.w"], r"lack 'a\.b', .* begin with 'a\.w'"),
        ([*NAMES, "d.w"], r"have 'd\.w', which the net lacks"),
        (["std", *(f"1.{name}" for name in NAMES)], r"have 'std', which the net lacks"),
        ([], r"lack 'a\.w'"),
    ],
)
def test_other_names_are_refused_by_the_first_that_differs(given, part):
    with pytest.raises(ValueError, match=part):
        fitted(dict.fromkeys(given), NAMES)
