"""The examples in docstrings give what they say; functions of some packages have one.

An example knows `jax`, `jnp`, `np` and `rj`; `net`, of two classes, with three `images`
of two pixels and their `labels`; and the `report` of FGSM on these. Those that run an
attack run FGSM on them, whose programs are compiled once for all. Numbers are compared
to the digits that are written, and white space not at all.
"""

import ast
import doctest
import functools
import inspect
import pathlib
import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robust_jax as rj
from tests import public_api

ROOT = pathlib.Path(__file__).parents[1]
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d*(?:e[+-]?\d+)?")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


class Checker(doctest.OutputChecker):
    """Takes 0.6931472 for 0.693, and one layout of an array for another."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        wanted, found = NUMBER.findall(want), NUMBER.findall(got)
        if len(wanted) == len(found) and all(map(is_written_as, found, wanted)):
            texts = iter(wanted)
            got = NUMBER.sub(lambda _: next(texts), got)
        want, got = ("".join(text.split()) for text in (want, got))
        return super().check_output(want, got, optionflags)


def is_written_as(number: str, text: str) -> bool:
    """Whether the text is the number to half of its last digit, or 1e-6 for "2."."""
    digits, _, exponent = text.partition("e")
    places = len(digits.partition(".")[2]) or 6
    last = 10.0 ** (int(exponent or 0) - places)
    return abs(float(number) - float(text)) <= 0.51 * last


def net(x):
    return jnp.array([1.0, -1.0]) * (x[0] - x[1])


@functools.cache
def problem() -> dict[str, object]:
    images = np.array([[0.6, 0.4], [0.9, 0.2], [0.3, 0.7]], np.float32)
    return {"net": net, "images": images, "labels": np.array([0, 0, 1])}


@functools.cache
def report() -> rj.evaluate.Report:
    plan = (rj.evaluate.Stage("fgsm", rj.attacks.fgsm()),)
    given = *problem().values(), rj.threats.Linf(0.25)
    return rj.evaluate.robustness(*given, plan=plan, audit=False)


def known(text: str) -> dict[str, object]:
    """What an example may use; the report only if it is asked for."""
    of = {"report": report()} if re.search(r">>>.*(?<![.\w])report\b", text) else {}
    return {"jax": jax, "jnp": jnp, "np": np, "rj": rj} | problem() | of


def examples() -> Iterator[doctest.DocTest]:
    """One for each docstring of the library that has examples."""
    for file in sorted((ROOT / "robust_jax").rglob("*.py")):
        source = file.read_text()
        for node in ast.walk(ast.parse(source)) if ">>>" in source else ():
            text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
            if text and ">>>" in text:
                path = file.relative_to(ROOT)
                name = f"{path.with_suffix('')}:{getattr(node, 'name', '')}"
                parser = doctest.DocTestParser()
                yield parser.get_doctest(text, {}, name, str(path), None)


@pytest.mark.parametrize("example", [*examples()], ids=lambda example: example.name)
def test_an_example_gives_what_it_says(example):
    example.globs = known(example.docstring)
    said, runner = [], doctest.DocTestRunner(Checker(), verbose=False)
    runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def public_functions(package: str) -> dict[str, object]:
    """What the snapshot of the API lists, but types of functions and protocols."""
    found = {}
    for line in public_api.lines(package, getattr(rj, package)):
        name, called, _ = line.partition("(")
        value = rj
        for part in name.split(".") if called else ():
            value = getattr(value, part)
        if called:
            found[name] = value
    return found


def has_example(value: object) -> bool:
    return ">>>" in (inspect.getdoc(value) or "")


@pytest.mark.parametrize("package", ["attacks", "evaluate", "losses", "threats"])
def test_every_public_function_has_an_example(package):
    functions = public_functions(package)
    assert len(functions) > 5
    assert [name for name, value in functions.items() if not has_example(value)] == []


@pytest.mark.parametrize(
    ("want", "got", "same"),
    [
        ("0.693", "0.6931472", True),
        ("0.694", "0.6931472", False),
        ("Array([0.9, 0.1])", "Array([0.90000004, 0.1       ])", True),
        ("Array([0.9, 0.1])", "Array([0.9, 0.2])", False),
        ("[1. 2.]", "[1. 2. 3.]", False),
        ("-2.", "2.", False),
        ("2.", "1.9", False),
        ("1.5e-05", "1.5001e-05", True),
        ("1.5e-05", "1.6e-05", False),
        ("inf", "nan", False),
    ],
)
def test_numbers_are_compared_to_the_digits_written(want, got, same):
    assert Checker().check_output(f"{want}\n", f"{got}\n", 0) == same
