"""The calls of docs/from-pytorch.md, theirs and ours, on one net.

python -m tests.from_pytorch FOLDER                  # ours, and files for theirs
.venv-peers/bin/python tests/from_pytorch.py FOLDER  # theirs, after `make peers`

Each prints the page's rows with a number each: how many of 100 images hold, or the
median distance. The second one needs no robust_jax, and prints both numbers.
"""

import importlib.util
import json
import os
import pathlib
import re
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
PAGE = "docs/from-pytorch.md"
# Texts of a call and shorter ones, for the gate.
SHORTER = {
    'plan="standard"': 'plan="basic", audit=False',
    "threat).to_": 'threat, plan="basic", audit=False).to_',
}
_ROW = re.compile(r"^\| `(.+?)` \| `(.+?)`.* \|([^|]*)\|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """Of each row of the tables of calls: theirs, ours, and what was found."""
    calls = (ROOT / PAGE).read_text().partition("\n## Call by call")[2]
    return [
        (theirs, ours, shown.strip()) for theirs, ours, shown in _ROW.findall(calls)
    ]


def problem(folder: pathlib.Path) -> dict[str, Any]:
    """What the page's block makes, and the files that a row reads, in `folder`."""
    import torch

    from tests import pages

    names: dict[str, Any] = {}
    for _ in pages.run(PAGE, names):
        pass
    torch.save(names["net"].state_dict(), folder / "net.pt")
    keys = ("images", "labels", "targets")
    np.savez(folder / "problem.npz", **{key: names[key] for key in keys})
    sys.modules["mynets"] = module = types.ModuleType("mynets")
    module.make = made  # type: ignore[attr-defined]
    names["predict"] = predicted(names["net"])
    return names


def made() -> Any:
    """The page's net, without its weights."""
    import torch

    linear = torch.nn.Linear
    layers = torch.nn.Flatten(), linear(64, 32), torch.nn.ReLU(), linear(32, 10)
    return torch.nn.Sequential(*layers).eval()


def predicted(net: Any) -> Any:
    """The net as a function of NumPy arrays."""
    import torch

    def predict(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.tensor(np.asarray(batch))).numpy()

    return predict


def number(value: Any, net: Any, y: Any) -> Any:
    """What a row of ours found: how many hold, for each radius, or a distance."""
    import torch

    import robust_jax as rj

    if isinstance(value, torch.Tensor):
        return int((net(value).argmax(-1) == y).sum())
    if isinstance(value, rj.evaluate.Curve):
        return [round(100 * accuracy.value) for accuracy in value.accuracies]
    if isinstance(value, rj.evaluate.Distances):
        return round(float(value.median.value), 3)
    if isinstance(value, rj.evaluate.Report):
        return value.robust_accuracy.successes
    if hasattr(value, "x_adv"):
        return int(np.sum(np.asarray(value.margin) < 0))
    return getattr(value, "successes", None)


def ours(
    names: dict[str, Any], shorter: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str, Any]]:
    """The right column: theirs, what the page shows, and what ours finds now."""
    for call, mine, shown in rows():
        for old, new in (shorter or {}).items():
            mine = mine.replace(old, new)
        yield call, shown, number(eval(mine, names), names["net"], names["y"])


def agrees(call: str, shown: str, found: Any) -> bool:
    """Whether ours found what the page shows; another machine trains another net."""
    if not shown:
        return True
    wanted = shown.partition(" and ")[2].split(", ")
    got = str(found).strip("[]").split(", ")
    most = 0.05 if "." in wanted[0] else 4
    pairs = zip(map(float, got), map(float, wanted), strict=True)
    return all(abs(one - other) <= most for one, other in pairs)


def theirs(folder: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """The left column, in an environment of theirs; but for what loads from afar."""
    import torch

    names = their_names(folder)
    for call, _, _ in rows():
        if not re.match(r"load_model|clean_accuracy|benchmark", call):
            torch.manual_seed(0)
            found = eval(call, names)
            yield call, their_number(found, names, "epsilons=None" in call)


def their_number(found: Any, names: dict[str, Any], is_nearest: bool) -> Any:
    """What a row of theirs found, see `number`."""
    import torch

    if isinstance(found, tuple) and len(found) == 3:  # foolbox's: raw, clipped, is_adv.
        raw, _, is_adv = found
        if is_nearest:
            far = (raw - names["x"]).flatten(1).norm(dim=1)
            right = names["net"](names["x"]).argmax(-1) == names["y"]
            far = torch.where(is_adv, far, torch.inf)[right]
            return round(float(far.quantile(0.5)), 3)
        held = (~is_adv).sum(-1)
        return held.tolist()
    found = found[0] if isinstance(found, tuple) else found
    if not isinstance(found, torch.Tensor | np.ndarray):
        return None
    right = names["net"](torch.as_tensor(found)).argmax(-1) == names["y"]
    return int(right.sum())


def their_names(folder: pathlib.Path) -> dict[str, Any]:
    """What the calls of the left column know."""
    import foolbox as fb
    import torch
    import torchattacks
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import BlackBoxClassifier, PyTorchClassifier
    from pyautoattack import AutoAttack

    given, net = np.load(folder / "problem.npz"), made()
    net.load_state_dict(torch.load(folder / "net.pt"))
    x, y, t = (torch.tensor(given[key]) for key in ("images", "labels", "targets"))
    loss = torch.nn.CrossEntropyLoss()

    def autoattack(net: Any, attacks_to_run: Any = None, **options: Any) -> Any:
        return AutoAttack(net, attacks=attacks_to_run, seed=0, **options)

    return {
        "fb": fb,
        "torchattacks": torchattacks,
        "FastGradientMethod": FastGradientMethod,
        "ProjectedGradientDescent": ProjectedGradientDescent,
        "BlackBoxClassifier": BlackBoxClassifier,
        "AutoAttack": autoattack,
        "fmodel": fb.PyTorchModel(net, bounds=(0, 1)),
        "classifier": PyTorchClassifier(net, loss, (1, 8, 8), 10, clip_values=(0, 1)),
        "predict": predicted(net),
        "net": net,
        "x": x,
        "y": y.long(),
        "t": t.long(),
        "targets": t.long(),
        "images": given["images"],
        "labels": given["labels"],
    }


def main(folder: pathlib.Path) -> int:
    """Prints each row with what it found; 1 if ours does not find what is shown."""
    if importlib.util.find_spec("foolbox") is not None:
        known = json.loads((folder / "ours.json").read_text())
        for call, value in theirs(folder):
            print(f"{value}, {known[call]} | {call}", flush=True)
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    names = problem(folder)
    os.chdir(folder)
    found = list(ours(names))
    record = json.dumps({call: value for call, _, value in found})
    pathlib.Path("ours.json").write_text(record)
    for call, shown, value in found:
        print(f"{value} | {call}" + ("" if agrees(call, shown, value) else " DIFFERS"))
    return int(not all(agrees(*row) for row in found))


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
