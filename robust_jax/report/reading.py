"""Reading a record: whatever a run left, checked, in the present form."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from robust_jax.core import checks, records
from robust_jax.core.records import Figure, PathLike, Record

FILE = "record.json"
_FIRST = 1  # The oldest schema that is read.
_OF_FIGURE = dict.fromkeys(Figure.__required_keys__, str)
_KEYS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "experiment": (str, "a text"),
    "title": (str, "a text"),
    "summary": (str, "a text"),
    "command": (str, "a text"),
    "flags": (dict, "an object"),
    "environment": (dict, "an object"),
    "rows": (list, "a list of objects"),
    "series": (dict, "an object"),
    "notes": (list, "a list of texts"),
    "figures": (list, "a list of objects"),
    "seconds": ((int, float), "a number of seconds"),
}
_ITEMS = {"rows": dict, "notes": str, "figures": dict}
_SINCE_2 = ("title", "summary", "figures")
# What `Report.save` and `Comparison.save` wrote before they wrote records.
_OLD_REPORT = ({"model", "threat", "rows", "claims"}, {"reports", "environment"})


def read(path: PathLike) -> Record:
    """The record of a run, checked: every key is there and of its type.

    A record of schema 1 has no title, summary and list of figures: it gets the
    experiment's name, no summary, and the PNG files that lie in its folder `figures`.
    Guarantees: files of figures are inside the record's folder; what is written by
    `core.records.write_json` again is read as the same record.

    Args:
        path: record.json, or the folder that holds it.
    Raises: ValueError: no such file; no JSON; a key that is missing or of another type;
        a record of a newer version, or of `Report.save` before version 0.2.

    >>> path = report.save("out/read")  # doctest: +SKIP
    >>> rj.report.read(path)["experiment"]  # doctest: +SKIP
    'evaluate'
    """
    file = file_of(path)
    return checked(records.read_json(file), f"path={file}", file.parent)


def checked(found: Any, name: str, folder: pathlib.Path | None = None) -> Record:
    """What was read, or a mapping in JSON's types, as a record; see `read`.

    Args:
        found: the data.
        name: of the data, for errors.
        folder: that holds a record's figures.
    """
    if not isinstance(found, dict):
        _refuse(name, f"holds {checks.shown(found)}", "expected a record", "name one")
    schema = _schema(name, found)
    if schema < records.SCHEMA:
        found = _filled_in(folder, found)
    for key, (kind, words) in _KEYS.items():
        if key not in found:
            _refuse(name, f"has no key {key!r}", f"expected {words}")
        if not isinstance(found[key], kind) or isinstance(found[key], bool):
            _refuse(name, f"{key}={checks.shown(found[key])}", f"expected {words}")
        for i, item in enumerate(found[key] if key in _ITEMS else ()):
            if not isinstance(item, _ITEMS[key]):
                _refuse(name, f"{key}[{i}]={checks.shown(item)}", f"expected {words}")
    for i, figure in enumerate(found["figures"]):
        _check_figure(name, f"figures[{i}]", figure)
    kept = {key: found[key] for key in _KEYS}
    return cast(Record, {"schema": records.SCHEMA, **kept})


def file_of(path: PathLike) -> pathlib.Path:
    """The file of a record that is named by itself or by its folder.

    Raises: ValueError: neither a path nor there.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(
            f"path={checks.shown(path)}; expected the name of a record.json, or of the "
            "folder of a run"
        )
    file = pathlib.Path(path)
    if file.is_dir():
        file = file / FILE
        if not file.is_file():
            raise ValueError(
                f"path={os.fspath(path)} has no {FILE}; expected the folder of a run; "
                "check the name, or let the run end"
            )
    return file


def _schema(name: str, found: Mapping[str, Any]) -> int:
    schema = found.get("schema")
    if schema is None and any(keys <= found.keys() for keys in _OLD_REPORT):
        _refuse(
            name,
            "was written by `save` of a report before version 0.2",
            "expected a record",
            "evaluate again, from the journal if there is one, and save that report",
        )
    is_number = isinstance(schema, int) and not isinstance(schema, bool)
    if not is_number or cast(int, schema) < _FIRST:
        said = "has no key 'schema'" if "schema" not in found else f"schema={schema!r}"
        wanted = f"expected a whole number from {_FIRST} to {records.SCHEMA}"
        _refuse(name, said, wanted, "name the record.json of a run")
    if cast(int, schema) > records.SCHEMA:
        _refuse(
            name,
            f"schema={schema}",
            f"expected at most {records.SCHEMA}: a newer version wrote it",
            "update robust_jax",
        )
    return cast(int, schema)


def _filled_in(folder: pathlib.Path | None, found: dict[str, Any]) -> dict[str, Any]:
    """A record of schema 1 in the present form."""
    pictures = sorted((folder / "figures").glob("*.png")) if folder else []
    figures = [
        Figure(name=p.stem, title=p.stem, caption="", file=f"figures/{p.name}")
        for p in pictures
    ]
    values = found.get("experiment", ""), "", figures
    return {**dict(zip(_SINCE_2, values, strict=True)), **found}


def _check_figure(name: str, where: str, figure: Mapping[str, Any]) -> None:
    for key, kind in _OF_FIGURE.items():
        if not isinstance(figure.get(key), kind):
            said = f"{where}.{key}={checks.shown(figure.get(key))}"
            _refuse(name, said, "expected a text")
    path = pathlib.PurePosixPath(figure["file"])
    if path.is_absolute() or ".." in path.parts or "\\" in figure["file"]:
        said = f"{where}.file={figure['file']!r}"
        _refuse(name, said, "expected a file inside the record's folder")


def _refuse(
    name: str, said: str, wanted: str, remedy: str = "write the record again"
) -> NoReturn:
    raise ValueError(f"{name}: {said}; {wanted}; {remedy}")
