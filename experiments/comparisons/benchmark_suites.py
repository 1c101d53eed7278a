"""The suites of `benchmark`: groups of variants that do the same work."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.comparisons.peers import child, pytorch
from robust_jax import attacks, datasets, models, threats, train
from robust_jax.commands.shared import common
from robust_jax.core import compiling, drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.train import loop

PEERS_PYTHON = flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Interpreter that `make peers` set up."
)

Variants = dict[str, Callable[[], object]]
Groups = dict[str, Variants]

_STEPS, _EPS, _STEP_SIZE = 10, 0.3, 0.01
_BATCH = 256


@contextlib.contextmanager
def drivers(notes: list[str]) -> Iterator[Groups]:
    """PGD-10 on one tile of digits by each driver, with and without YNN fusion."""
    data = common.load("digits", "test", lift.TILE)
    keys = lift.item_keys(0, data.ids)
    groups: Groups = {}
    for name in ("digits_cnn", "mlp"):
        module = models.by_name(name)
        variables = models.init(module, jax.random.key(0), data.images.shape[1:])
        net, attack = models.logits_fn(module, variables), attacks.pgd(_STEPS, 0.25)
        goal = Untargeted(data.labels)
        arguments = keys, net, threats.Linf(0.15), data.pixels(), goal
        group = {
            "hosted": _bind(drive.hosted(attack, to_the_end=True), arguments),
            "traced": _bind(drive.traced(attack, to_the_end=True), arguments),
        }
        plain = lift.over_examples(drive.run(attack, to_the_end=True))
        group["traced, XLA's defaults"] = _bind(jax.jit(plain), arguments)
        unrolled = lift.over_examples(drive.run_unrolled(attack, to_the_end=True))
        group["unrolled"] = _bind(compiling.compiled(unrolled), arguments)
        groups[f"PGD-{_STEPS}, {name}, {lift.TILE} digits"] = group
    yield groups


@contextlib.contextmanager
def training(notes: list[str]) -> Iterator[Groups]:
    """An adversarial epoch on the digits, driven by the host and as one program."""
    data = datasets.load("digits", "train")
    recipe = train.recipe("pgd_digits")
    setup, key = train.set_up(recipe, data), jax.random.key(1)
    batching = recipe.batching(data.num_classes)

    def epoch(driver):
        run = driver(setup.learner, batching)
        return lambda: run(setup.fresh().state, setup.loader, key)

    yield {
        f"epoch of pgd_digits, {len(data)} images": {
            "hosted": epoch(loop.hosted),
            "traced": epoch(loop.traced),
        }
    }


@contextlib.contextmanager
def peers(notes: list[str]) -> Iterator[Groups]:
    """Ten PGD steps on TRADES' SmallCNN and 256 MNIST images, beside PyTorch.

    Both climb the cross entropy from the same images by ten gradients, sign steps of
    0.01 and projections at eps 0.3; the results are compared in a note. Half a grey
    level of noise keeps pixels from tying: where the largest of a pooling window ties,
    PyTorch gives the gradient to the first one and this library to all alike.
    """
    child.check_installed(PEERS_PYTHON.value)
    data = common.load("mnist", "test", _BATCH)
    module = models.by_name("small_cnn")
    variables = models.init(module, jax.random.key(0), data.images.shape[1:])
    net = models.logits_fn(module, variables)
    attack = attacks.bim(_STEPS, _STEP_SIZE / _EPS)
    keys, threat = lift.item_keys(0, data.ids), threats.Linf(_EPS)
    noise = np.random.default_rng(0).uniform(0, 0.5 / 255, data.images.shape)
    images = (data.pixels() * (1 - 0.5 / 255) + noise).astype(np.float32)
    arguments = keys, net, threat, images, Untargeted(data.labels)
    ten_steps = lift.over_examples(drive.last_iterate(attack))
    ours = compiling.compiled(ten_steps)
    judged = drive.auto(attack, to_the_end=True)
    problem: dict[str, Any] = {"steps": _STEPS, "eps": _EPS, "step_size": _STEP_SIZE}
    problem |= {"images": images, "labels": data.labels}
    for layer, fields in variables["params"].items():
        problem |= {f"{layer}/{field}": value for field, value in fields.items()}
    with pytorch.PyTorch(PEERS_PYTHON.value, problem) as torch:
        theirs = torch.result()
        mine = np.asarray(ours(*arguments))
        same = (np.abs(mine - theirs) < 1e-5).mean()
        version = torch.versions["torch"]
        notes.append(
            f"{100 * same:.3f} % of the pixels agree with PyTorch {version} to "
            f"1e-5 after {_STEPS} steps; torch threads: {torch.threads}."
        )
        yield {
            f"{_STEPS} PGD steps, SmallCNN, {_BATCH} MNIST images": {
                "PyTorch, default layout": lambda: torch.seconds("default"),
                "PyTorch, channels last": lambda: torch.seconds("channels_last"),
                "robust_jax": _bind(ours, arguments),
                "robust_jax, XLA's defaults": _bind(jax.jit(ten_steps), arguments),
                "robust_jax, judged: 12 forwards, 11 backwards": _bind(
                    judged, arguments
                ),
            }
        }


def _bind(function: Callable[..., object], arguments: Any) -> Callable[[], object]:
    return lambda: function(*arguments)


SUITES = {"drivers": drivers, "training": training, "peers": peers}
