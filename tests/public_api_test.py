"""A public name or argument changes with its snapshot, so that a review sees it."""

import difflib
import types

from tests import public_api

RENEW = "if this is meant, run `python -m tests.public_api` and say it in CHANGELOG"


def test_the_public_names_are_those_of_the_snapshot():
    kept, found = public_api.FILE.read_text(), public_api.listing()
    changed = difflib.unified_diff(kept.splitlines(), found.splitlines(), n=0)
    assert kept == found, "\n".join([RENEW, *list(changed)[2:]])


def test_a_line_has_names_and_defaults_and_no_address():
    def attack(x: int, /, rule=dict, *more, eps: float = 0.1, other=object()) -> int:  # noqa: B008
        return x

    module = types.ModuleType("tests.made")
    module.attack, module.__all__ = attack, ["attack"]
    line = "made.attack(x, /, rule=dict, *more, eps=0.1, other=<object object>)"
    assert list(public_api.lines("made", module)) == [line]
    del module.__all__
    assert list(public_api.lines("made", module)) == []  # Defined elsewhere.
    attack.__module__ = "tests.made"
    assert list(public_api.lines("made", module)) == [line]
