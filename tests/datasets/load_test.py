import subprocess
import sys

import pytest

from robust_jax import datasets

_PROGRAM = """
import sys
import robust_jax.datasets
assert len(robust_jax.datasets.load("digits", "train")) == 1147
heavy = {"tensorflow", "tensorflow_datasets", "sklearn", "scipy", "jax", "PIL"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_digits_come_without_heavy_imports():
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_names_can_be_loaded_or_say_how_to_prepare_them(tmp_path):
    for name in datasets.names():
        if name == "digits":
            assert datasets.load(name, "test", tmp_path).name == name
        else:
            with pytest.raises(FileNotFoundError, match=f"--dataset={name} "):
                datasets.load(name, "test", tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        ("minst", "test", "unknown dataset 'minst'; did you mean 'mnist'.*digits, "),
        ("svhn_cropped", "test", "did you mean 'svhn'"),
        ("CIFAR-10", "test", "did you mean 'cifar10'"),
        ("qqq", "test", r"unknown dataset 'qqq' \(.*svhn\)$"),
        ("digits", "valid", "unknown split 'valid'; did you mean 'validation'"),
        ("mnist", "dev", r"unknown split 'dev' \(known: test, train, validation"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(name, split, words):
    with pytest.raises(ValueError, match=words):
        datasets.load(name, split)
