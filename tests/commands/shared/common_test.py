"""Where an experiment keeps compiled programs."""

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from robust_jax.commands.shared import common
from robust_jax.core import caching


@pytest.mark.parametrize(
    ("flag", "variable", "folder"),
    [
        (None, "", "/cache/robust_jax"),
        (None, "/given", "/given"),
        ("/flag", "/given", "/flag"),
        ("", "/given", None),  # None at all.
    ],
)
def test_the_flag_is_before_the_variable(monkeypatch, flag, variable, folder):
    asked, settings = [], {"jax_compilation_cache_dir": variable}
    monkeypatch.setattr(caching, "compile_cache", asked.append)
    monkeypatch.setattr(jax.config, "update", settings.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", variable)
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(compile_cache=flag):
        common._keep_compiled_programs()
    assert asked == ([folder] if folder else [])
    assert folder or settings["jax_compilation_cache_dir"] is None
