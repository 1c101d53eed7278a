"""Malformed calls of the public API, drawn at random: one sentence of ours each time.

An argument of a call that works is replaced by something else. What then comes is a
ValueError or TypeError of one line, raised by this library and by none below it, or a
result where the value is one that the argument may have.
"""

import functools
import inspect
import numbers
import pathlib
import random
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn import svm

import robust_jax
from experiments.studies import words
from robust_jax import attacks, datasets, evaluate, interop, models, threats, train
from robust_jax.core import drive, lift
from robust_jax.core.ids import example_ids
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import Layout, Stage
from robust_jax.evaluate.plans import by_name as plan_by_name
from robust_jax.losses import objectives
from robust_jax.train.checkpointing import OrbaxCheckpointer
from tests import victims

SOME, ALL = 200, 1000  # Calls of `make test`, and of `make test-full`.
LONGEST = 1500  # Characters of a sentence, which may list what is known.
ROOT = pathlib.Path(robust_jax.__file__).parent
N, SIZE, CLASSES = 6, 4, 3
NET = victims.affine_victim((SIZE,), CLASSES)
IMAGES = victims.inputs((SIZE,), N, seed=2)
LABELS = victims.predicted(NET, IMAGES)
BIM = attacks.bim(2, 0.5, objectives.margin)
STAGE = Stage("bim", BIM)


class Nothing:
    """Of no use, with a name that fits in a line."""

    def __repr__(self) -> str:
        return "Nothing()"


class Wild:
    """Raises whatever is asked of it."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no array")

    def __repr__(self) -> str:
        return "Wild()"


def no_net(*args: Any, **kwargs: Any) -> Any:
    raise KeyError("weights")


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 2**31, 2**32, 10**12, 10**30, 10**400, 0.5,
    1.5, -0.25, 1e-30, 1e30, np.nan, np.inf, -np.inf, 1j, "", "x", "linf", "a\nb",
    b"x", (), [],
    {}, [None], [[1.0], [1.0, 2.0]], ["a", "b"], {"a": 1}, {1, 2}, object, Nothing(),
    Wild(), no_net, lambda x: x, lambda x: None, lambda x: (x, x), range(3), iter([1]),
    np.float32(0.25), np.int64(2), np.zeros(0), np.zeros((0, SIZE)), np.zeros(N),
    np.zeros((N, SIZE)), np.full((N, SIZE), np.nan), np.full((N, SIZE), 300.0),
    np.zeros((N, SIZE), int), np.zeros((N, SIZE), complex), np.zeros((N, 1, SIZE, 2)),
    np.arange(N), np.arange(N) - 3, np.arange(N, dtype=float), np.full(N, 99),
    np.full(N, True), np.array("x"), np.array(["x"] * N), np.array([None] * N),
    np.array("2020-01-01", "M8[D]"), np.array([object()] * N), jnp.zeros(N),
    jnp.zeros((N, SIZE), jnp.bfloat16), np.ma.masked_less(IMAGES, 0.5),
    np.ma.masked_less(LABELS, 1), threats.Linf, threats.Linf(0.1), threats.Linf("x"),
    threats.Linf(-1.0), threats.Linf(9.0), threats.Linf(None), threats.L2([0.1] * 2),
    threats.L2(0.1, 0.9, 0.1), threats.L2(0.1, np.zeros(3)), threats.L0(0.5),
    threats.Linf(0.1, np.nan), threats.Patch(99), threats.RotationTranslation(),
    STAGE, (STAGE,), [STAGE], BIM, NET, nnx.Linear(SIZE, 3, rngs=nnx.Rngs(0)),
    nn.Dense(3), Layout(), pathlib.Path("nowhere"), "nowhere/x", random.Random(0),
)  # fmt: skip


class Case(NamedTuple):
    """A call that works, and the arguments that may be replaced."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    varied: tuple[str, ...]


Call = tuple[Callable[..., Any], dict[str, Any]]


def of_evaluations() -> dict[str, Call]:
    """Calls that ask a net."""
    examples = {"model": NET, "images": IMAGES, "labels": LABELS}
    ball = {"threat": threats.Linf(0.05)}
    draws: dict[str, Any] = {"ids": None, "seed": 0}
    tiled = {**draws, "tile": 8, "on_items": lambda n: None}
    robust = {
        **examples, **ball, **draws, "plan": (STAGE,), "takes": "example", "samples": 5,
        "subset": None, "layout": Layout(tile=8), "retire": True, "audit": False,
        "surrogate": None, "certified": None, "name": "model", "limit_minutes": None,
        "on_estimate": None, "on_progress": None, "progress": False,
    }  # fmt: skip
    near = {**examples, **ball, "plan": Stage("fab", attacks.fab(2)), **tiled}
    curved = {**examples, **ball, "radii": [0.1], "attack": BIM, **tiled}
    corrupted = {**examples, "names": ["contrast"], "severities": [1], **tiled}
    compared = {k: v for k, v in robust.items() if k not in ("model", "name")}
    return {
        "robustness": (evaluate.robustness, robust),
        "distances": (evaluate.distances, near),
        "curve": (evaluate.curve, curved),
        "corrupted_accuracy": (evaluate.corrupted_accuracy, corrupted),
        "compare": (evaluate.compare, {"models": {"a": NET}, **compared}),
    }


def of_parts() -> dict[str, Call]:
    """Calls that make what evaluations take: stages, layouts, models, data, nets."""
    stage = {"name": "bim", "attack": BIM, "goals": evaluate.untargeted}
    layout = {"tile": 8, "tiles": 2, "chunk": 25, "devices": None, "loops": None}
    host = {"batch_fn": no_net, "num_classes": 3, "answers": "scores", "name": None}
    digits = datasets.load("digits", "train").take(np.arange(64))
    trained = {"recipe": train.recipe("digits"), "train": digits, "seed": 0}
    nnx_net = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    return {
        "Stage": (Stage, {**stage, "restarts": 1, "only": None}),
        "Layout": (Layout, layout),
        "plan": (plan_by_name, {"plan": "swift", "norm": "l2", "num_classes": 3}),
        "targets": (evaluate.likeliest_targets, {"targets": 2}),
        "threat": (threats.by_name, {"norm": "l2"}),
        "from_host": (interop.from_host, host),
        "from_sklearn": (
            interop.from_sklearn,
            {"estimator": _estimator(), "answers": None},
        ),
        "from_nnx": (interop.from_nnx, {"module": nnx_net}),
        "from_linen": (interop.from_linen, {"module": nn.Dense(3), "variables": {}}),
        "per_example": (interop.per_example, {"batch_fn": no_net}),
        "load": (models.load, {"path": "nowhere"}),
        "net": (models.by_name, {"name": "mlp", "num_classes": 3}),
        "recipe": (train.recipe, {"name": "digits", "changes": {"epochs": 1}}),
        "set_up": (train.set_up, trained),
        "dataset": (datasets.load, {"name": "digits", "split": "test"}),
        "example_ids": (example_ids, {"images": IMAGES, "labels": LABELS}),
    }


def of_drivers() -> dict[str, Call]:
    """Calls that drive an attack, and those of files of words and of trainings."""
    batch = {
        "logits_fn": NET, "threat": threats.Linf(0.05), "x": IMAGES,
        "goal": Untargeted(LABELS.astype(np.int32)),
    }  # fmt: skip
    keys = {"keys": lift.item_keys(0, np.arange(N))}
    universal = attacks.universal(2)
    return {
        "hosted": (drive.hosted(BIM), {**keys, **batch, "start": None}),
        "traced": (drive.traced(BIM), {**keys, **batch}),
        "shared": (drive.shared(universal), {"key": jax.random.key(0), **batch}),
        "driver": (drive.hosted, {"attack": BIM, "to_the_end": False}),
        "driver_of_sets": (drive.shared, {"attack": universal, "batch": 3}),
        "OrbaxCheckpointer": (
            OrbaxCheckpointer,
            {"directory": pathlib.Path("k"), "every": 3, "keep": 2},
        ),
        "text_file": (words.text_file, {"path": __file__}),
        "vectors": (words.load, {"path": "nowhere", "binary": False}),
    }


def cases() -> dict[str, Case]:
    """By name; each works as it is."""
    given = of_evaluations() | of_parts() | of_drivers()
    for entry in attacks.list():
        parameters = inspect.signature(entry.make).parameters.values()
        usual = {p.name: p.default for p in parameters if p.default is not p.empty}
        given[f"attacks.{entry.name}"] = entry.make, usual
    return {name: Case(*call, tuple(call[1])) for name, call in given.items()}


def _estimator() -> Any:
    return svm.SVC().fit(IMAGES, np.arange(N) % 3)


def drawn(count: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Names of cases with the arguments that replace theirs, one or two of them."""
    rng, every, calls = random.Random(seed), cases(), []
    weights = [1 if name.startswith("attacks.") else 2 * len(case.varied)
               for name, case in every.items()]  # fmt: skip
    while len(calls) < count:
        (name,) = rng.choices(list(every), weights)
        varied = every[name].varied
        some = rng.sample(varied, min(len(varied), rng.choice((1, 1, 1, 2))))
        given = {argument: rng.choice(VALUES) for argument in some}
        if not is_no_case(given):
            calls.append((name, given))
    return calls


@functools.cache
def _cases() -> dict[str, Case]:
    return cases()


def is_alike(usual: Any, value: Any) -> bool:
    """Whether a value that was accepted is of the kind of the usual one."""
    if isinstance(usual, bool):
        return isinstance(value, bool | np.bool_)
    if isinstance(usual, int | float):
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if isinstance(usual, str):
        return isinstance(value, str)
    if isinstance(usual, np.ndarray | tuple | list):
        return hasattr(value, "__len__") or value is None
    return not callable(usual) or callable(value)


def is_no_case(given: dict[str, Any]) -> bool:
    """A function of the user's own that raises when it is called back."""
    return any(name.startswith("on_") and callable(v) for name, v in given.items())


def outcome(name: str, given: dict[str, Any]) -> str:
    """Empty where a call ends as it should; else what is wrong."""
    case = _cases()[name]
    try:
        case.function(**{**case.arguments, **given})
        odd = [k for k, v in given.items() if not is_alike(case.arguments[k], v)]
        return f"accepted: {', '.join(odd)}" if odd else ""
    except (ValueError, TypeError, FileNotFoundError) as error:
        last = pathlib.Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        said = str(error)
        if ROOT not in last.parents:
            return f"raised by {last.name}: {type(error).__name__}: {said[:200]}"
        if "\n" in said or not said or len(said) > LONGEST:
            return f"no sentence: {said[:300]!r}"
        return ""
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {last.filename}:{last.lineno}: {error}"[:400]


def shown(name: str, given: dict[str, Any]) -> str:
    """A call as a report names it."""
    parts = (f"{k}={' '.join(repr(v).split())[:60]}" for k, v in given.items())
    return f"{name}({', '.join(parts)})"


@pytest.fixture(autouse=True)
def _whole_tracebacks():
    """JAX hides its frames, so that its errors would seem to be ours."""
    before = jax.config.jax_traceback_filtering
    jax.config.update("jax_traceback_filtering", "off")
    yield
    jax.config.update("jax_traceback_filtering", before)


@pytest.mark.filterwarnings("ignore")  # What NumPy says of values that are refused.
@pytest.mark.parametrize(
    "count", [SOME, pytest.param(ALL, marks=pytest.mark.full)], ids=["some", "all"]
)
def test_malformed_calls_end_in_one_sentence(count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = [
        f"{shown(name, given)}\n    {what}"
        for name, given in drawn(count, seed=count)
        if (what := outcome(name, given))
    ]
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)
    assert list(tmp_path.iterdir()) == []


def test_the_calls_work_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, case in _cases().items():
        if name not in ("load", "vectors"):  # There is no file.
            case.function(**case.arguments)
