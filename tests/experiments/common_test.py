"""Where an experiment keeps compiled programs."""

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
    monkeypatch.setattr(common.jax.config, "update", changed.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", variable)
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(compile_cache=flag):
        common._keep_compiled_programs()
    assert changed.get("jax_compilation_cache_dir") == folder
