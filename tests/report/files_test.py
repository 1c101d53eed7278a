"""Figures by the ending of their files: what is inside; bytes do not change."""

import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from robust_jax import report
from robust_jax.report import escaping, files

CURVE = {
    "eps": [0.0, 0.1, 0.2],
    "accuracy": [0.9, 0.7, 0.1],
    "low": [0.8, 0.6, 0.0],
    "high": [1.0, 0.8, 0.2],
}
NAME = r"a_b & <c> $x^2 50 % {d} \e ~"
HEADS = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF-", ".pgf": b"%% Cr"}


def draw(path):
    report.figures.robustness_curves(path, {NAME: CURVE}, "Title", "radius")
    return path.read_bytes()


@pytest.mark.parametrize("ending", files.ENDINGS)
def test_the_ending_says_what_is_in_the_file(tmp_path, ending):
    content = draw(tmp_path / f"a{ending}")
    assert content.startswith(HEADS[ending])
    with matplotlib.rc_context({"svg.hashsalt": None, "pgf.rcfonts": True}):
        assert draw(tmp_path / f"b{ending.upper()}") == content
    assert not any(word in content for word in (b"CreationDate", b"<dc:date", b"/root"))


def test_a_vector_figure_holds_no_raster_and_no_type_3_font(tmp_path):
    pdf, svg = (draw(tmp_path / f"a.{kind}") for kind in ("pdf", "svg"))
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf
    assert b"/Subtype /Image" not in pdf
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
    assert "path" in tags and "image" not in tags and "script" not in tags


def test_text_in_pgf_is_no_command(tmp_path):
    text = draw(tmp_path / "a.pgf").decode()
    shown = (
        r"a\_b \& \textless{}c\textgreater{} \$x\textasciicircum{}2 50 \% \{d\} "
        r"\textbackslash{}e \textasciitilde{}"
    )
    assert f"{shown}}}}}%" in text
    assert text.count(r"\begin{pgfpicture}") == text.count(r"\end{pgfpicture}") == 1


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.gz", ".png"])
def test_another_ending_is_refused_before_anything_is_drawn(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected a name that ends in \.png, \.svg"):
        draw(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_pgf_of_images_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.pgf"
    draw(path)
    old = path.read_bytes()
    with pytest.raises(ValueError, match=r"a\.pgf; PGF holds lines and text.*\.pdf"):
        report.plots.heat_map(path, np.eye(2), ["a", "b"], ["c", "d"], "Title")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pgf"]
    assert path.read_bytes() == old


def test_what_latex_and_markdown_take_for_commands_is_escaped():
    assert escaping.latex("a\n\\b{}") == r"a \textbackslash{}b\{\}"
    assert escaping.latex("1 ± 2 –") == r"1 $\pm$ 2 --"
    assert escaping.markdown("a|b\n*c* <d> [e](f) `g`") == (
        r"a\|b \*c\* \<d\> \[e\](f) \`g\`"
    )
