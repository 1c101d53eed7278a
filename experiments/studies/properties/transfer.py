"""Do nets err on what was made for others? Szegedy et al. (2014), Table 2."""

import numpy as np

from experiments.studies.properties import model_families
from experiments.studies.properties.minimal import NAMES
from experiments.studies.properties.nets import TITLES
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.types import LogitsFn

_NOISE = (0.1, 0.3)
# Errors in per cent, rows by source, columns by target as NAMES; then noise of 0.1
# and 0.3. Second hand, of a transcription; "m": from memory, unverified.
_PAPERS = (
    "100 11.7m 22.7m 2 3.9m 2.7",
    "87.1 100m 35.2m 35.9 27.3m 9.8",
    "71.9 76.2m 100m 48.1 47m 34.4",
    "28.9 13.7m 21.1m 100 6.6m 2",
    "38.2 14m 23.8m 20.3 100m 2.7",
    "23.4m 16m 24.8m 9.4m 6.6m 100m",
    "5.0 10.1m 18.3m 0 0m 0.8",
    "15.6 11.3m 22.7m 5 4.3m 3.1",
)


def transfer(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Table 2 and its heat map; then modern attacks, and models of other kinds."""
    found = _between_papers_nets(setting, run)
    model_families.between_kinds(setting, run)
    common, raw = found.matrix(), found.matrix(common=False)
    n = len(NAMES)
    cells = np.array([[cell.value for cell in row] for row in common])
    across = cells[:n][~np.eye(n, dtype=bool)].mean()
    noise = cells[n : 2 * n][~np.eye(n, dtype=bool)].mean()
    return {
        "transfer less equal noise": float(across - noise),
        "transfer less 3 x equal noise": float(across - 3 * noise),
        "raw error of FC100 on FC10(1)'s": raw[2][3].value,
    }


def _between_papers_nets(setting: Setting, run: recording.Run) -> analysis.Transfer:
    data = setting.attacked()
    sources = {TITLES[name]: setting.nets[name].logits_fn for name in NAMES}
    moved = {id(sources[TITLES[name]]): setting.moved(name) for name in NAMES}

    def craft(
        logits_fn: LogitsFn, images: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        found = moved[id(logits_fn)]
        return np.where(np.isnan(found), images, found)

    found = analysis.transfer_matrix(
        sources, {"L-BFGS": craft}, data.pixels(), data.labels, equal_noise=True,
        noise=_NOISE, seed=setting.seed,
    )  # fmt: skip
    for common, which in (
        (True, "every net gets right"),
        (False, "as the paper has it"),
    ):
        rows = model_families.rows_of(found, common)
        title = f"Transfer (Szegedy et al., Table 2), {which}"
        n = found.matrix(common=common)[0][0].n
        run.table(
            title,
            "Error in per cent of each net (columns) on what was made for one "
            f"(rows); {n} images. Noise of equal size changes each image as much as "
            "the source's.",
            rows,
        )
    if setting.paper:
        names = [*(TITLES[n] for n in NAMES), *(f"Gaussian {d:g}" for d in _NOISE)]
        rows = [
            {"made for": name, **dict(zip(found.targets, line.split(), strict=True))}
            for name, line in zip(names, _PAPERS, strict=True)
        ]
        about = "Numbers with m are from memory, the others from a transcription."
        run.table("The paper's Table 2", about, rows)
    _draw(run, found)
    return found


def _draw(run: recording.Run, found: analysis.Transfer) -> None:
    title = "Error on what was made for another net"
    path = run.figure("transfer", title, "On images that every net gets right; in %.")
    values = [[100 * cell.value for cell in row] for row in found.matrix()]
    names = [model_families.name_of(row) for row in found.rows]
    report.plots.heat_map(
        path, np.array(values), names, found.targets, title, scale=100, digits=0
    )
