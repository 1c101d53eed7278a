"""The tests that docs/promises.md names are there."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def test_each_row_names_tests_that_exist():
    rows = [
        line
        for line in (ROOT / "docs/promises.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| given", "| ---"))
    ]
    assert len(rows) > 50
    for row in rows:
        source, named = None, 0
        for path, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+)[^`]*)?`", row):
            source = (ROOT / path).read_text() if path else source
            if test:
                assert f"def {test}(" in source, row
            named += bool(path or test)
        assert named, row
