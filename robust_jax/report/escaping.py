"""Text for other languages: LaTeX and Markdown, in which some letters are commands."""

import re

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "∞": r"$\infty$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "✓": r"$\surd$",
    "✗": r"$\times$",
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$&])")


def latex(text: str) -> str:
    """Text that LaTeX sets as it stands, on one line.

    >>> from robust_jax.report.escaping import latex
    >>> print(latex("50 % of {a_b}"))
    50 \\% of \\{a\\_b\\}
    """
    return "".join(_LATEX.get(letter, letter) for letter in _on_one_line(text))


def markdown(text: str) -> str:
    r"""Text that Markdown shows as it stands, as a cell of a table.

    >>> from robust_jax.report.escaping import markdown
    >>> print(markdown("a|b_c"))
    a\|b\_c
    """
    return _MARKDOWN.sub(r"\\\1", _on_one_line(text))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
