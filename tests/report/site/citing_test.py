import pathlib
import re

import pytest

from robust_jax.report.site import citing

CITATION = pathlib.Path(__file__).parents[3] / "CITATION.cff"


def test_the_library_is_cited_as_its_file_says():
    said = CITATION.read_text()
    found = citing.citation("9.8.7", "2026")
    for key in ("title", "name"):
        [value] = re.findall(rf'^ *(?:- )?{key}: "?(.*?)"?$', said, re.M)
        assert value in found.text and f"{{{{{value}}}}}" in found.bibtex
    assert "9.8.7" in found.text and "year    = {2026}" in found.bibtex


@pytest.mark.parametrize("version", [None, ""])
def test_without_a_version_or_a_year(version):
    found = citing.citation(version, "")
    assert re.search(r"version \d", found.text) and "year" not in found.bibtex
