"""Templates and the files that pages share."""

import functools
import pathlib
import re
from typing import Any

from robust_jax.core import extras, records

_HERE = pathlib.Path(__file__).parent
_WHAT = "report.site"
# The browser refuses whatever is not of the site's own folder: no network, no eval.
_SITE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
)
_FILE_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
_EXPORT = re.compile(r"export\s*\{([^}]*)\}\s*;?")


def check_installed() -> None:
    """Raises ImportError, with the remedy, unless all that a site needs is there."""
    for name in ("jinja2", "altair", "vl_convert", "itables"):
        extras.needed(name, "pages", _WHAT)


def page(template: str, assets: str | None, **values: Any) -> str:
    """A page as HTML.

    Args:
        template: its file's name.
        assets: the way to the site's shared files; None for a page that is one file.
        values: what the template names.
    Raises: ImportError: Jinja2 is missing.
    """
    policy = _FILE_POLICY if assets is None else _SITE_POLICY
    jinja2 = extras.needed("jinja2", "pages", _WHAT)
    style = extras.needed("markupsafe", "pages", _WHAT).Markup(_style())
    given = {"assets": assets, "policy": policy, "style": style, **values}
    return str(_environment(jinja2).get_template(template).render(given))


@functools.cache
def _environment(jinja2: Any) -> Any:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(path: pathlib.Path, text: str) -> None:
    """Writes a text, whole or not at all; what is no Unicode as question marks."""
    with records.atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def write_assets(folder: pathlib.Path) -> None:
    """Writes what all pages of a site share: style, our script, Vega, DataTables."""
    write(folder / "site.css", _style())
    write(folder / "site.js", _own("site.js") + _own("images.js"))
    write(folder / "charts.js", _closed(vega()))
    write(folder / "tables.js", _closed(datatables()))


@functools.cache
def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script."""
    return str(extras.needed("vl_convert", "pages", _WHAT).javascript_bundle())


@functools.cache
def datatables() -> str:
    """The DataTables that itables ships, as a script that sets `window.DataTable`.

    It is a module, which browsers do not load from a file.
    Raises: ImportError: an itables whose bundle has another form.
    """
    folder = pathlib.Path(str(extras.needed("itables", "pages", _WHAT).__file__)).parent
    text = (folder / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    found = _EXPORT.search(text)
    name = re.search(r"([\w$]+) as default", found.group(1)) if found else None
    if found is None or name is None:
        raise ImportError(
            f"{_WHAT} cannot read the DataTables of this itables; run pip install "
            "'robust-jax[pages]'"
        )
    made = f"window.DataTable={name.group(1)};"
    return text[: found.start()] + made + text[found.end() :]


def _closed(script: str) -> str:
    """A script whose names are its own."""
    return f'(() => {{"use strict";{script}\n}})();\n'


def _style() -> str:
    return _own("style.css") + _own("images.css")


def _own(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
