"""Functions by name: found, or one sentence that names the first thing wrong."""

import sys

import pytest

from robust_jax.core.factory_names import named_function

SOURCE = """
from math import sqrt
DEPTH = 3
def make_net(): return "made"
class Net: ...
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "given_nets").mkdir()
    (tmp_path / "given_nets" / "__init__.py").write_text("")
    (tmp_path / "given_nets" / "good.py").write_text(SOURCE)
    (tmp_path / "given_nets" / "reexported.py").write_text("from math import sqrt")
    (tmp_path / "given_nets" / "broken.py").write_text("1 / 0")
    (tmp_path / "given_nets" / "leaving.py").write_text("raise SystemExit(0)")
    (tmp_path / "given_nets" / "needy.py").write_text("import given_elsewhere")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("given_nets")]:
        del sys.modules[name]


def test_functions_and_classes_are_found(folder):
    assert named_function("given_nets.good:make_net", "--model")() == "made"
    assert named_function("given_nets.good:Net", "--model").__name__ == "Net"
    assert named_function("given_nets.reexported:sqrt", "--model")(9.0) == 3


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        (3, TypeError, "--model=3; expected a text such as 'package.module:name'"),
        ("", ValueError, "--model=''; expected package.module:name"),
        ("given_nets.good", ValueError, "expected package.module:name"),
        ("given_nets.good:", ValueError, "expected package.module:name"),
        ("given_nets/good.py:Net", ValueError, "expected package.module:name"),
        (".good:Net", ValueError, "expected package.module:name"),
        ("given_nets.good:Net()", ValueError, "expected package.module:name"),
        ("given_nets.good:Net\n", ValueError, "expected package.module:name"),
        ("given_nots.good:Net", ImportError, "no module given_nots is found; run"),
        ("given_nets.goad:Net", ImportError, "no module given_nets.goad is found"),
        ("given_nets.good.x:Net", ImportError, "no module given_nets.good.x is found"),
        (
            "given_nets.needy:Net",
            ImportError,
            "importing given_nets.needy fails .ModuleNotFoundError: No module named "
            "'given_elsewhere'.; mend it, or install what it needs",
        ),
        ("given_nets.broken:Net", ImportError, "fails .ZeroDivisionError: division"),
        ("given_nets.leaving:Net", ImportError, "fails .SystemExit: 0"),
        (
            "given_nets.good:make_not",
            ValueError,
            "--model=given_nets.good:make_not; unknown name in given_nets.good "
            "'make_not'; did you mean 'make_net'. .known: Net, make_net.",
        ),
        (
            "given_nets.good:DEPTH",
            TypeError,
            "--model=given_nets.good:DEPTH; DEPTH is 3; expected a function or a class",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, spec, error, said):
    with pytest.raises(error, match=said) as caught:
        named_function(spec, "--model")
    assert "\n" not in str(caught.value)
