import sys
import types

import pytest

from robust_jax.core import extras


def test_what_is_there_is_imported():
    assert extras.needed("types", "torch", "interop.from_torch") is types


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("absent_library.part", None, r"needs absent_library, which is not installed"),
        (
            "broken_library",
            "import absent_too",
            r"cannot be imported \(No module named",
        ),
        ("failing_library", "1 / 0", r"cannot be imported \(division by zero\)"),
    ],
)
def test_what_is_missing_or_broken_is_a_sentence(
    tmp_path, monkeypatch, name, source, said
):
    if source:
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=said) as caught:
        extras.needed(name, "torch", "interop.from_torch")
    assert str(caught.value).endswith("run pip install 'robust-jax[torch]'")
    assert name not in sys.modules
