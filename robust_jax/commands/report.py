"""How do runs compare, and are their numbers to be believed? A site of records.

    robust-jax report out/evaluate out/train --out=out/site
    robust-jax report out --out=out/site --baseline=out/plain
    robust-jax report out/evaluate --out=out/site --watch

RUNS are folders that commands or `Report.save` wrote, or folders with such ones below.
The site is an index that sorts, filters and gives differences from a baseline, and a
page for each run: verdict, stages, cost, checks, curves, images, downloads. It opens
from the disk, without a server or network. With --watch it shows one run on the way,
anew every few seconds, until its record is written; Ctrl-C ends that, not the run.
"""

import pathlib
import time

from absl import flags

from robust_jax import report
from robust_jax.commands.shared import common, numbers
from robust_jax.core import checks
from robust_jax.report.site import live

flags.declare_key_flag("out")
TAKES = "RUNS"  # Beside flags.

_BASELINE = flags.DEFINE_string(
    "baseline", None, "One of RUNS; the index gives the differences from it."
)
_TITLE = flags.DEFINE_string("title", None, "Of the index.")
_WATCH = flags.DEFINE_bool("watch", False, "Show one run that is on its way.")
_EVERY = numbers.DEFINE_number("every", 5.0, "Seconds between two looks of --watch.")


def main(argv: list[str]) -> None:
    """Builds the site, once or until the watched run is over."""
    runs = argv[1:]
    if not runs:
        raise ValueError("runs=[]; expected folders of runs, such as out/evaluate")
    out = pathlib.Path(common.OUT.value or "out/site")
    if _WATCH.value:
        _watch(runs, out)
    index = report.site(runs, out, baseline=_BASELINE.value, title=_TITLE.value)
    print(f"wrote {index}")


def _watch(runs: list[str], out: pathlib.Path) -> None:
    """Returns when the run's record is there."""
    checks.holds("every", _EVERY.value, lambda s: 0 < s < 3600, "seconds, 0 to 3600")
    if len(runs) != 1:
        raise ValueError(f"runs={runs}; expected one of them with --watch")
    folder, is_told = pathlib.Path(runs[0]), False
    while live.write(folder, out, _EVERY.value):
        if not is_told:
            print(f"watching {folder}: open {out / 'index.html'}", flush=True)
            is_told = True
        time.sleep(_EVERY.value)
