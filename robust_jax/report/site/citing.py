"""How to cite the library, and a run's number."""

from importlib import metadata
from typing import NamedTuple

# As CITATION.cff has them.
_TITLE = "robust_jax: adversarial attacks, robust training and honest evaluation in JAX"
_AUTHORS = "The robust_jax authors"


class Citation(NamedTuple):
    """The library as a sentence and as BibTeX."""

    text: str
    bibtex: str


def citation(version: object, year: str) -> Citation:
    """How to cite the library in the version that a run used.

    Args:
        version: of the record; the installed one where it has none.
        year: of the run; empty if it is not known.
    """
    version = str(version or metadata.version("robust_jax"))
    when = f" ({year})" if year else ""
    fields = {"author": f"{{{_AUTHORS}}}", "title": f"{{{_TITLE}}}"}
    fields |= {"version": version} | ({"year": year} if year else {})
    lines = "".join(f"  {key:7} = {{{value}}},\n" for key, value in fields.items())
    bibtex = f"@software{{robust_jax,\n{lines}}}"
    return Citation(f"{_AUTHORS}{when}. {_TITLE}, version {version}.", bibtex)
