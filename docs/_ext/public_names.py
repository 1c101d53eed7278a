"""The directive `public-names PACKAGE`: what `__all__` names, by autodoc."""

import functools
import inspect
import pathlib
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any, get_origin

from _ext.docstrings import as_rst
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.docutils import SphinxDirective

import robust_jax
from robust_jax.commands.list_attacks import arguments
from tests import public_api

LIBRARY = robust_jax.__name__


class PublicNames(SphinxDirective):
    """A table of the names with their first sentences, then each of them whole."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = whole(self.arguments[0])
        names = public_names(path)
        lines = [f".. py:currentmodule:: {path}", "", ".. autosummary::"]
        lines += ["   :nosignatures:", ""]
        lines += [f"   {name}" for name, value in names if is_called(value)]
        for name, value in names:
            lines += ["", *shown(f"{path}.{name}", value), ""]
        parent = nodes.section()
        parent.document = self.state.document
        text = StringList(lines, source=path)
        self.state.nested_parse(text, self.content_offset, parent)
        return parent.children


def whole(package: str) -> str:
    """The path of a package as pages name it, `.` for the library itself."""
    return LIBRARY if package == "." else f"{LIBRARY}.{package}"


def public_names(path: str) -> list[tuple[str, Any]]:
    """The names that a page of a package or module shows, with their values."""
    module = functools.reduce(getattr, path.split(".")[1:], robust_jax)
    if module is robust_jax:
        names = [n for n in dir(module) if n[0] != "_"]
    else:
        names = getattr(module, "__all__", None) or public_api.defined(module)
    pairs = ((name, getattr(module, name)) for name in sorted(names))
    return [pair for pair in pairs if not isinstance(pair[1], ModuleType)]


def shown(path: str, value: Any) -> list[str]:
    """The lines that document a name."""
    if inspect.isclass(value):
        return [f".. autoclass:: {path}", "   :members:"]
    if is_called(value):
        return [f".. autofunction:: {path}"]
    if isinstance(value, Mapping):
        value = ", ".join(map(repr, value))
    return [f".. py:data:: {path.rpartition('.')[2]}", "", f"   ``{value}``"]


def is_called(value: Any) -> bool:
    """Whether it is a function, class or factory, and no alias of a type."""
    return callable(value) and get_origin(value) is None


@functools.cache
def addresses() -> dict[str, str]:
    """Of every name that a page documents the whole path, by that and without `rj`."""
    found: dict[str, str] = {}
    for file in sorted(pathlib.Path(__file__).parents[1].glob("api/*.md")):
        for package in re.findall(
            r"^\.\. public-names:: (\S+)", file.read_text(), re.M
        ):
            for name, _ in public_names(whole(package)):
                path = f"{whole(package)}.{name}"
                found[path] = found[path.removeprefix(f"{LIBRARY}.")] = path
    return found


def process_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Makes reStructuredText of a docstring, in place."""
    package = name.rpartition(".")[0]

    def address(code: str) -> str | None:
        code = code.removeprefix("rj.")
        return addresses().get(code) or addresses().get(f"{package}.{code}")

    # A property's first line is no type, whatever stands before its colon.
    what = "method" if what in ("attribute", "data", "property") else what
    text = as_rst(lines, address)
    lines[:] = GoogleDocstring(text, app.config, app, what, name, value).lines()


def process_signature(
    app: Sphinx, what: str, name: str, value: Any, *rest: Any
) -> tuple[str, str] | None:
    """Names and defaults without types, which `Args` says in words."""
    text = arguments(value)
    return (text, "") if text else None


def skips(app: Sphinx, what: str, name: str, value: Any, *rest: Any) -> bool | None:
    """Leaves out fields of a NamedTuple, of which Python says no more than a number."""
    is_field = str(inspect.getdoc(value)).startswith("Alias for field number")
    return True if is_field else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.setup_extension("sphinx.ext.napoleon")
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skips)
    return {"parallel_read_safe": True}
