"""Where an experiment keeps compiled programs."""

import types

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import common


@pytest.mark.parametrize(
    ("flag", "variable", "folder"),
    [
        (None, "", "/cache/robust_jax"),
        (None, "/given", None),  # JAX follows its own variable.
        ("/flag", "/given", "/flag"),
        ("", "/given", ""),  # None at all.
    ],
)
def test_the_flag_is_before_the_variable(monkeypatch, flag, variable, folder):
    changed = {}
    # JAX read the variable at its start, and these tests' own may be there.
    config = types.SimpleNamespace(
        jax_compilation_cache_dir=variable, update=changed.__setitem__
    )
    monkeypatch.setattr(common, "jax", types.SimpleNamespace(config=config))
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(compile_cache=flag):
        common._keep_compiled_programs()
    assert changed.get("jax_compilation_cache_dir") == folder
