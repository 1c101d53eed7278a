"""What an import costs, and what is never imported; each in a fresh interpreter."""

import configparser
import pathlib
import subprocess
import sys
from importlib import metadata

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# What extras bring, and what takes long to import.
HEAVY = (
    "PIL",
    "altair",
    "flax",
    "grain",
    "itables",
    "jinja2",
    "matplotlib",
    "orbax",
    "pandas",
    "scipy",
    "sklearn",
    "tensorflow_datasets",
    "torch",
)
# Sees attempts, so that an import inside `try` counts where TensorFlow is missing.
WATCH = """
import sys

class Watch:
    tried = set()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        cls.tried.add(name.partition(".")[0])

sys.meta_path.insert(0, Watch)
"""
# Flags are global: two experiments in one process would both define `out`. What is
# served runs in an environment of its own.
IMPORT_ALL = """
import importlib, pathlib, sys
from absl import flags

for file in sorted(pathlib.Path().glob("[re]*/**/*.py")):
    if "served" in file.parts:
        continue
    before, loaded = set(flags.FLAGS), set(sys.modules)
    importlib.import_module(".".join(file.with_suffix("").parts))
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    for name in set(sys.modules) - loaded:
        if name.startswith(("robust_jax.commands", "experiments")):
            del sys.modules[name]
"""


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_root_package_loads_nothing_heavy():
    """Not even JAX, so that its import takes no time beside JAX's."""
    heavy = {*HEAVY, "chex", "jax", "numpy", "optax"}
    code = f"import sys, robust_jax; print({heavy} & set(sys.modules))"
    assert run(code).strip() == "set()"


def test_what_judges_a_function_loads_nothing_heavy_either():
    """SciPy's statistics alone would take as long as JAX."""
    used = "rj.attack, rj.evaluate.robustness, rj.load_model, rj.report, rj.datasets"
    code = (
        f"import sys, robust_jax as rj; {used}; print({set(HEAVY)} & set(sys.modules))"
    )
    assert run(code).strip() == "set()"


def test_packages_load_on_first_use():
    code = (
        "import sys, robust_jax as rj\n"
        "print('robust_jax.threats' in sys.modules, rj.threats.Linf(0.1).eps)\n"
        "print('robust_jax.threats' in sys.modules)"
    )
    assert run(code).split() == ["False", "0.1", "True"]


def test_every_package_on_disk_is_listed_and_loads():
    import robust_jax as rj

    on_disk = {path.parent.name for path in ROOT.glob("robust_jax/*/__init__.py")}
    functions = {"__version__", "attack", "compile_cache", "load_model"}
    on_disk -= {"commands"}  # Programs, which nobody calls from Python.
    assert on_disk == set(dir(rj)) - functions
    for name in on_disk:
        assert getattr(rj, name).__name__ == f"robust_jax.{name}"


def test_an_unknown_package_is_an_attribute_error():
    import robust_jax as rj

    with pytest.raises(AttributeError, match="'robust_jax' has no attribute 'treats'"):
        _ = rj.treats


def test_the_version_is_that_of_the_metadata():
    import robust_jax as rj

    written = configparser.ConfigParser()
    written.read(ROOT / "setup.cfg")
    assert rj.__version__ == written["metadata"]["version"]


def test_a_tree_that_is_not_installed_says_so(monkeypatch):
    import robust_jax as rj

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert rj.__version__ == "0+not.installed"
    assert rj.core.records.environment()["robust_jax"] == "0+not.installed"


def test_no_module_imports_tensorflow_or_torch():
    # tensorflow_datasets, which `datasets` imports on use, must do without as well.
    code = WATCH + IMPORT_ALL + "import tensorflow_datasets\n"
    code += "print({'tensorflow', 'torch'} & Watch.tried)"
    assert run(code).strip() == "set()"
