"""Slow functions show how far they are on a terminal, and nowhere else."""

import importlib
import io
import re

import jax.numpy as jnp
import numpy as np
import pytest

import robust_jax as rj

SHOWN = importlib.import_module("robust_jax.report.progress")
WEIGHTS = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
IMAGES, LABELS = np.array([[0.7, 0.4], [0.9, 0.2]], np.float32), np.zeros(2, int)
GIVEN = lambda x: WEIGHTS @ x, IMAGES, LABELS
LINF, ANY = rj.threats.Linf(0.1), rj.threats.L2(np.inf)


def trained(**options):
    less = {"epochs": 1, "attack.steps": 1, "model": "mlp", "data.batch_size": 16}
    few = rj.datasets.load("digits", "train").take(np.arange(32))
    return rj.train.fit(rj.train.recipe("pgd_digits", less), few, few, **options)


CALLS = {
    "attack": lambda **how: rj.attack("fgsm", *GIVEN, LINF, **how),
    "curve": lambda **how: rj.evaluate.curve(*GIVEN, LINF, [0.1, 0.2], "fgsm", **how),
    "distances": lambda **how: rj.evaluate.distances(*GIVEN, ANY, "deepfool", **how),
    "model": lambda **how: rj.evaluate.robustness(
        *GIVEN, LINF, plan="basic", audit=False, **how
    ),
    "train": trained,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def watched(monkeypatch):
    """Gives a person's terminal, outside of tests, where bars are seen at once."""

    def watch(stream):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
        return stream

    monkeypatch.setattr(SHOWN, "_PATIENCE", 0.0)
    return watch


@pytest.mark.parametrize("name", CALLS)
def test_a_bar_is_shown_to_its_end_on_a_terminal_alone(name, watched):
    terminal, other, file = Terminal(), Terminal(), io.StringIO()
    watched(terminal)
    CALLS[name]()
    assert re.search(rf"{name}: +(9\d|100)%", terminal.getvalue())
    assert not SHOWN._OPEN
    watched(other)
    CALLS[name](progress=False)
    watched(file)
    CALLS[name]()
    assert other.getvalue() == file.getvalue() == ""


def test_the_callers_bar_and_callback_are_the_only_ones(watched):
    terminal, told = watched(Terminal()), []
    with rj.report.progress(2, "outer") as outer:
        CALLS["attack"](), outer.update(2)
    assert "outer: 100%" in terminal.getvalue() and "attack" not in terminal.getvalue()
    silent = watched(Terminal())
    CALLS["distances"](on_items=told.append), CALLS["model"](on_progress=told.append)
    assert sum(n for n in told if isinstance(n, int)) == len(LABELS)
    assert silent.getvalue() == ""


def test_short_calls_and_tests_show_nothing(watched, monkeypatch):
    terminal = watched(Terminal())
    monkeypatch.setattr(SHOWN, "_PATIENCE", 60.0)
    CALLS["attack"]()
    monkeypatch.setattr(SHOWN, "_PATIENCE", 0.0)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "here")
    CALLS["attack"]()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_answer_is_refused(name):
    with pytest.raises(TypeError, match="progress='yes'; expected True or False"):
        CALLS[name](progress="yes")
