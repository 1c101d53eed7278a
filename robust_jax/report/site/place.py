"""Where a site may be: it writes over no run."""

import pathlib
from collections.abc import Iterable

from robust_jax.report import reading

RUNS, SCRIPT = "runs", pathlib.Path("assets", "site.js")  # Of a site.


def check_apart(folder: pathlib.Path, runs: Iterable[pathlib.Path]) -> None:
    """Raises ValueError unless a site in `folder` leaves all runs as they are.

    Args:
        folder: of the site, there or not.
        runs: the folders of runs that it shows.
    """
    own, is_site = folder / RUNS, (folder / SCRIPT).is_file()
    inside = [run for run in runs if run.resolve() == folder.resolve()]
    inside += [run for run in runs if run.resolve().is_relative_to(own.resolve())]
    if (folder / reading.FILE).exists():
        inside.append(folder)
    if not is_site:  # Of a site they are copies.
        inside += [file.parent for file in own.glob(f"*/{reading.FILE}")]
    if inside:
        raise ValueError(
            f"out={folder}; expected a folder for the site, found a run in its place "
            f"({inside[0]}); choose another one, such as {folder / 'site'}"
        )
