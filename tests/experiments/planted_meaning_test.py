"""The studies that move and cover images, on a net that NumPy computes in a line."""

import itertools

import jax
import numpy as np
import pytest

from experiments.studies.properties.correspondence import correspondence
from experiments.studies.properties.curves import curves
from experiments.studies.properties.nets import Net
from experiments.studies.properties.occlude import occlude
from robust_jax import analysis, models
from tests.experiments import planted

pytestmark = pytest.mark.xdist_group("planted studies")
LABELS = np.repeat(np.arange(10), 5)
SLOPES = np.linspace(-1, 1, 10)  # Of the logits, by the ink.


@pytest.fixture(scope="module")
def given():
    """Convolutions that change nothing, and a unit that adds up what pooling left."""
    module = models.by_name("madry_cnn", features=(1, 1), hidden=2)
    weights = models.init(module, jax.random.key(0), planted.SHAPE)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), weights)
    for name in ("Conv_0", "Conv_1"):
        params["params"][name]["kernel"][2, 2] = 1
    params["params"]["Dense_0"]["kernel"][:, 0] = 1
    params["params"]["Dense_1"]["kernel"][0] = SLOPES
    rng = np.random.default_rng(0)
    shapes = rng.uniform(0.3, 1, (10, 8, 8, 1)) * (
        rng.uniform(size=(10, 8, 8, 1)) < 0.4
    )
    nets = planted.Nets({"pooled": Net("pooled", module, params, {})})
    return planted.setting(nets, planted.dataset(shapes[LABELS], LABELS))


@pytest.fixture
def run(tmp_path):
    return planted.Notebook(tmp_path)


def by_hand(images):
    """Layers [N, D], and the probabilities [N, 10]."""
    n = len(images)
    pool1 = images.reshape(n, 4, 2, 4, 2).max((2, 4))
    pool2 = pool1.reshape(n, 2, 2, 2, 2).max((2, 4))
    ink = pool2.sum((1, 2))[:, None]
    layers = {"conv1": images, "pool1": pool1, "pool2": pool2, "fc1": ink}
    odds = np.exp(ink * SLOPES)
    shares = odds / odds.sum(axis=1, keepdims=True)
    return {name: x.reshape(n, -1) for name, x in layers.items()}, shares


def test_curves_are_relative_distances_of_the_layers(given, run):
    values = curves(given, run)
    images, rows = given.test.pixels(), run.rows("How far features move")
    still, _ = by_hand(images)
    moves = {
        "shift, px": lambda d: analysis.translate(images, d, 0),
        "scale": lambda d: analysis.scale(images, d),
        "rotation, degrees": lambda d: analysis.rotate(images, d),
    }
    assert {row["move"] for row in rows} == set(moves) and len(rows) == 3 + 5 + 12
    for row in rows:
        layers, shares = by_hand(moves[row["move"]](row["amount"]))
        for name, moved in layers.items():
            far = np.linalg.norm(moved - still[name], axis=1)
            far = (far / np.linalg.norm(still[name], axis=1)).mean()
            assert row[name] == pytest.approx(far, abs=1e-5), (row["move"], name)
        own = shares[np.arange(len(images)), LABELS].mean()
        assert row["probability"] == pytest.approx(own, abs=1e-5)
    near = [row for row in rows if row["move"] == "shift, px"]
    deep = ("conv1", "pool1", "pool2", "fc1")
    gains = [row[a] - row[b] for row in near for a, b in itertools.pairwise(deep)]
    assert values["least gain with depth, by shift"] == min(gains)
    least = min(row["conv1"] / row["fc1"] for row in near)
    assert values["conv1 / fc1, by shift"] == least
    turned = {row["amount"]: row["probability"] for row in rows[-12:]}
    ratio = turned[90] / turned[15]
    assert values["probability at 90 over 15 degrees"] == ratio


def test_occlude_relates_the_margin_to_the_ink_that_is_hidden(given, run):
    values = occlude(given, run)
    inks, margins, likely = [], [], []
    for image, label in zip(given.test.pixels(), LABELS, strict=True):
        for top, left in itertools.product(range(6), range(6)):
            covered = image.copy()
            covered[top : top + 3, left : left + 3] = 0
            inks.append(image[top : top + 3, left : left + 3].mean())
            layers, shares = by_hand(covered[None])
            logits = layers["fc1"][0] * SLOPES
            margins.append(logits[label] - np.delete(logits, label).max())
            likely.append(shares[0, label])
    inks, likely = np.array(inks), np.array(likely)
    correlation = np.corrcoef(inks, margins)[0, 1]
    (row,) = run.rows("A window of background")
    assert row["windows"] == len(inks) == 36 * 50
    assert values["correlation of ink and margin"] == pytest.approx(
        correlation, abs=1e-4
    )
    over, blank = likely[inks > 0.2].mean(), likely[inks < 0.01].mean()
    assert row["probability of the label over ink"] == pytest.approx(over, abs=1e-4)
    assert row["over blank"] == pytest.approx(blank, abs=1e-4)
    assert values["probability, blank less ink"] == pytest.approx(
        blank - over, abs=1e-4
    )


def test_correspond_sees_that_images_of_a_class_are_the_same(given, run):
    values = correspondence(given, run)
    assert set(values.values()) == {0.0} and len(values) == 3
    same, places, mixed = run.rows("Change of features")
    assert same == {"covered": "same part"} | dict.fromkeys(
        ("pool2", "fc1"), "0.000 ± 0.000"
    )
    for row in (places, mixed):
        assert float(row["pool2"].split()[0]) > 0.05
