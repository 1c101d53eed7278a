"""What a notebook and a prompt show of records that hold arrays."""

import html.parser

import jax.numpy as jnp
import numpy as np
import pytest

import robust_jax as rj
from robust_jax.core import brief
from robust_jax.core.types import AttackResult
from robust_jax.evaluate.audit import Audit, Finding
from robust_jax.evaluate.claims import NO_CLAIMS, Claims
from robust_jax.evaluate.eight_bit import EightBit
from robust_jax.evaluate.failures import Failure
from robust_jax.evaluate.results import StageResult

EVIL = "<script>alert('&')</script>"
LONG = np.arange(5000.0)
FLAGS = np.arange(5000) % 2 == 0


def evil_stage(name):
    costs = (np.zeros(5000, np.int64),) * 4
    return StageResult(name, FLAGS, *costs)


def evil_report(**changes):
    given = {"model": EVIL, "threat": EVIL, "clean": ~FLAGS, "x_adv": LONG}
    given |= {"winner": np.where(FLAGS, -2, -1), "ids": LONG, "seed": 0, "tile": 64}
    given |= {"stages": (evil_stage(EVIL),)}
    return rj.evaluate.Report(**{**given, **changes})


AUDIT = Audit((Finding(7, EVIL, "flag", 0.5, "0", EVIL, EVIL),), 16, 32, 0, 0.1)
SHOWN = [
    evil_report(audit=AUDIT),
    rj.evaluate.Comparison({EVIL: evil_report(audit=AUDIT), "b": evil_report()}),
    AUDIT,
    rj.evaluate.Curve(EVIL, np.array([0.0, 0.1]), np.stack([FLAGS, FLAGS]), 6, 2),
    rj.evaluate.Distances(EVIL, "l2", LONG, FLAGS, 1.0, 2.0, 0.1, LONG, NO_CLAIMS),
    rj.evaluate.Corrupted((EVIL,), (1,), FLAGS, FLAGS[None, None]),
    rj.datasets.Dataset(EVIL, "test", LONG, LONG, LONG, 10, 255),
    evil_stage(EVIL),
    Claims(0, LONG, LONG, 0, LONG, 0.0, 0.0),
    Failure(0, 1, 2, EVIL, 0, 0, LONG, LONG, None),
    EightBit(LONG, FLAGS, FLAGS, rj.core.metrics.Proportion(1, 2)),
    AttackResult(jnp.ones(5000), *[jnp.ones(())] * 4),
]


class Reader(html.parser.HTMLParser):
    """The tags that are open, those that were seen, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("value", SHOWN, ids=lambda value: type(value).__name__)
def test_a_notebook_shows_a_table_without_a_script_and_without_arrays(value):
    page = Reader(value._repr_html_())
    assert "table" in page.seen and "script" not in page.seen
    assert len(page.text) < 4000 and "0. 1." not in page.text
    assert len(repr(value)) < 1500 and "[0." not in repr(value)
    assert "_evaluation" not in page.text + repr(value)
    if type(value) not in (Claims, EightBit, AttackResult):  # Which have no text.
        assert "<script>" in page.text


def test_the_verdict_comes_first():
    text = Reader(evil_report(audit=AUDIT)._repr_html_()).text.strip()
    assert text.startswith("This number is not to be trusted: see check 7")
    text = Reader(evil_report()._repr_html_()).text.strip()
    assert text.startswith("cite as: robust accuracy 50.0 %")
    text = Reader(SHOWN[1]._repr_html_()).text.strip()
    assert text.startswith(f"Robustness of 2 models, not to be trusted of {EVIL}")


def test_numbers_of_the_table_are_the_reports():
    page = Reader(evil_report()._repr_html_())
    assert page.text.count(str(evil_report().clean_accuracy)) == 4


@pytest.mark.parametrize(
    "value",
    [
        rj.threats.Linf(LONG[:4000], lower=np.zeros((40, 40, 3))),
        rj.train.Trained(None, {"params": {"a": LONG}}, {}, {"loss": [0.5] * 99}, 0.1),
        rj.analysis.Occlusion(LONG, LONG, LONG),
        rj.models.Checkpoint(None, {"params": {"a": jnp.ones((70, 80))}}, (4,), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_weights_or_fields_is_shown_by_their_shapes(value):
    assert len(repr(value)) < 400
    assert any(shape in repr(value) for shape in ("[4000]", "[5000]", "[70, 80]"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((2, 3), np.float32), "float32[2, 3]"),
        (jnp.zeros(3, jnp.bfloat16), "bfloat16[3]"),
        (np.float32(0.5), "0.5"),
        ((np.zeros(2), 1), "(float64[2], 1)"),
        ((1,), "(1,)"),
        ([], "[]"),
        (list(range(10)), "[0, 1, 2, 3, 4, 5, 6, 7, ... 2 more]"),
        ({"a": [np.zeros(2)]}, "{'a': [float64[2]]}"),
        (dict.fromkeys(range(9)), "{0: None, 1: None, 2: None, 3: None, 4: None, "
         "5: None, 6: None, 7: None, ... 1 more}"),
    ],
)  # fmt: skip
def test_a_value_in_short(value, text):
    assert brief.shape_of(value) == text
