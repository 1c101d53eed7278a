"""The page of differences is what docstrings say."""

import textwrap

import pytest

from experiments import list_differences

SAID = '''
"""A module.

References: Wong, ICLR 2020, for `fast`. Differs from it in: two
    channels.
References: Madry, ICLR 2018. Differs from the authors' code in: nothing.
"""
def attack():
    """One.

    References: Croce, "A | B", 2020. Differs from the code, which is
        in foolbox, in: ties; see "Differs".

    >>> 1 + 1
    2
    """
class Net:
    """Differs from nothing, and has no paper."""
'''


def test_the_page_in_the_documentation_is_the_generated_one():
    page = list_differences.ROOT / "docs" / "differences.md"
    assert page.read_text() == list_differences.markdown(), (
        "run `python -m experiments.list_differences`"
    )


def test_what_docstrings_say_is_found(tmp_path, monkeypatch):
    file = tmp_path / "robust_jax" / "part" / "module.py"
    file.parent.mkdir(parents=True)
    file.write_text(textwrap.dedent(SAID))
    monkeypatch.setattr(list_differences, "ROOT", tmp_path)
    kept = 'Croce, "A | B", 2020.', "the code, which is in foolbox"
    assert list_differences.found() == [
        ("`part.attack`", *kept, 'ties; see "Differs".'),
        ("`part.module`", "Wong, ICLR 2020, for `fast`.", "it", "two channels."),
    ]


@pytest.mark.parametrize("words", ["in: nothing.", "in nothing."])
def test_nothing_is_no_row(words):
    said = f"One.\n\nReferences: Croce, 2020. Differs from the code {words}"
    assert not list(list_differences.sentences(said))
    other = said.replace(words, "in: ties.")
    assert list(list_differences.sentences(other)) == [
        ("Croce, 2020.", "the code", "ties.")
    ]


def test_every_sentence_of_the_library_is_understood():
    """None is lost because it is written otherwise."""
    for part in ("robust_jax", "experiments"):
        for file in (list_differences.ROOT / part).rglob("*.py"):
            text = " ".join(file.read_text().split())
            nothing = text.count(" in: nothing. ") + text.count(" in nothing. ")
            written = text.count(". Differs ") - nothing
            if file.name != "list_differences.py":
                assert len(list(list_differences.differences(file))) == written, file
