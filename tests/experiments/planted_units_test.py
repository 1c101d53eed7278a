"""The studies that look into layers, on nets whose units are known."""

import numpy as np
import pytest

from experiments.studies.properties import (
    dissect as dissect_,
    factors as factors_,
    units as units_,
)
from experiments.studies.properties.cka import cka
from experiments.studies.properties.nets import Net
from robust_jax import analysis, models
from tests.experiments import planted

pytestmark = pytest.mark.xdist_group("planted studies")
DIRECTIONS = 200  # Instead of 2,000, which cost seconds.


@pytest.fixture
def run(tmp_path):
    notebook = planted.Notebook(tmp_path)
    yield notebook
    notebook.look()


def _seeing():
    """Ten pixels code the class, where the trained nets look; the untrained do not."""
    rng, labels = np.random.default_rng(0), np.arange(120) % 10
    x = rng.uniform(0, 0.4, (120, 64))
    x[:, :10] = rng.uniform(0, 0.55, (120, 10))
    x[np.arange(120), labels] = rng.uniform(0.6, 1, 120)
    blind = np.zeros((64, 30))  # Of noise: as good as its rotations.
    blind[20:] = rng.normal(size=(44, 30))
    seeing = 3 * np.eye(64, 10)
    nets = planted.Nets()
    for name in units_._NETS:
        nets[name] = planted.dense(seeing, np.eye(10), title=name)
        nets[f"{name}, untrained"] = planted.dense(
            blind, np.ones((30, 10)), title=f"{name}, untrained", trained=False
        )
    # One is worse than the others: half of its units are blind.
    half = np.where(np.arange(10) < 5, seeing, blind[:, :10])
    nets["relu100"] = planted.dense(half, np.eye(10), title="relu100")
    return planted.setting(nets, planted.dataset(x.reshape(-1, 8, 8, 1), labels))


def test_units_that_see_a_class_each_are_purer_than_directions(run, monkeypatch):
    monkeypatch.setattr(units_, "_DIRECTIONS", DIRECTIONS)
    asked = _seeing()
    values = units_.units(asked, run)
    rows = {row["features"]: row for row in run.rows("Units and random")}
    assert len(rows) == 1 + 4 * 4
    for name in ("fc100", "fc200", "cnn"):
        row = rows[f"{name}, Dense_0"]
        assert row["width"] == 10 and row["units"] == 1 and row["bits"] == 0
        assert row["random"] < 0.9 and row["auc_value"] > 0.8 and row["p"] < 1e-4
        assert row["units"] == rows[f"{name}, Dense_0 before the nonlinearity"]["units"]
        assert not row["alike"] and row["random_bits"] > 0
        lead = row["random"] - row["units"]
        assert values[f"{name}: directions less units"] == lead
        assert values[f"{name}: AUC of logits"] == rows[f"{name}, logits"]["auc_value"]
        other = rows[f"{name}, untrained, Dense_0"]
        assert other["width"] == 30 and 0.3 < other["auc_value"] < 0.7
        assert abs(other["units"] - other["random"]) < 0.05
        # Eight of twelve of each class, drawn blindly: the commonest has about 2.2.
        assert 0.2 < other["units"] < 0.35
        gain = min(row[k] - other[k] for k in ("units", "random"))
        assert values[f"{name}: gain by training"] == gain > 0.2
    worse = rows["relu100, Dense_0"]
    assert 0.5 < worse["units"] < 0.75
    assert values["AUC of logits"] == values["relu100: AUC of logits"] < 0.8
    assert values["gain by training"] == values["relu100: gain by training"]
    lead = min(values[f"{name}: directions less units"] for name in units_._NETS)
    assert values["directions less units"] == lead < -0.1
    untrained = {values[f"{name}: AUC untrained"] for name in units_._NETS}
    assert values["AUC untrained"] == max(untrained)
    assert values["least AUC untrained"] == min(untrained)
    assert 0.2 < units_._chance(asked, asked.test.labels) < 0.35
    assert len(run.figures) == 2


def test_dissect_counts_planted_detectors_under_a_known_turn(run, monkeypatch):
    """Channels see edges of four directions, and pairs of them turn past the middle."""
    cosine, sine = np.cos(np.radians(50)), np.sin(np.radians(50))
    turn = np.kron(np.eye(2), [[cosine, -sine], [sine, cosine]])
    monkeypatch.setattr(analysis, "random_rotation", lambda width, seed: turn)
    # Ink that begins at once in the middle, and fades to the borders.
    step = np.concatenate([np.zeros(16), np.linspace(1, 0, 16)])
    right = np.hanning(32)[:, None] * step
    images = np.stack([right, right.T, right[:, ::-1], right.T[::-1]])
    conv = {"kernel": np.zeros((5, 5, 1, 1), np.float32), "bias": np.zeros(1)}
    conv["kernel"][2, 2] = 1  # The image itself, which is then pooled.
    edges = np.zeros((5, 5, 1, 4), np.float32)
    steps = [(2, 3, 2, 1), (3, 2, 1, 2), (2, 1, 2, 3), (1, 2, 3, 2)]
    for channel, (up, right, down, left) in enumerate(steps):
        edges[up, right, 0, channel], edges[down, left, 0, channel] = 1, -1
    module = models.by_name("madry_cnn", features=(1, 4), hidden=4)
    dense = {"kernel": np.ones((256, 4)), "bias": np.zeros(4)}
    last = {"kernel": np.ones((4, 10)), "bias": np.zeros(10)}
    seeing = {"kernel": edges, "bias": np.full(4, -0.6)}
    params = {"Conv_0": conv, "Conv_1": seeing, "Dense_0": dense, "Dense_1": last}
    blind = params | {"Conv_1": {"kernel": 0 * edges, "bias": np.zeros(4)}}
    nets = planted.Nets(
        {
            "cnn": Net("CNN", module, {"params": params}, {}),
            "cnn, untrained": Net("CNN", module, {"params": blind}, {}),
        }
    )
    data = planted.dataset(images[..., None], np.arange(4))
    values = dissect_.dissect(planted.setting(nets, data), run)
    trained, untrained = run.rows("Unique detectors")
    assert (trained["net"], untrained["net"]) == ("trained", "untrained")
    assert trained["alpha 0"] == trained["alpha 0.75"] == 4
    # Of each pair the second is now the larger part of either channel.
    assert trained["alpha 1"] == 2
    assert all(untrained[f"alpha {a:g}"] == 0 for a in dissect_._ALPHAS)
    assert values == {"detectors kept, trained": 0.5, "detectors kept, untrained": 0}


def test_factors_finds_the_unit_that_weighs_the_ink(run, monkeypatch):
    """One unit takes the ink's moment sideways, one a class's code, one nothing."""
    monkeypatch.setattr(factors_, "_DIRECTIONS", DIRECTIONS)
    labels = np.arange(90) % 3
    images = np.zeros((90, 8, 8))
    images[:, 3:5, 3:5] = 0.8
    images[np.arange(90), 0, 2 * labels] = 0.4
    moment, code = np.zeros((2, 8, 8))
    moment[2:6], code[0, 2] = np.arange(8), 1
    kernel = np.stack([moment.ravel(), code.ravel(), 0 * code.ravel()], axis=1)
    nets = planted.Nets(
        {
            "cnn": planted.dense(kernel, np.ones((3, 10)), title="seeing"),
            "cnn, untrained": planted.dense(
                0 * kernel, np.ones((3, 10)), title="blind"
            ),
        }
    )
    asked = planted.setting(nets, planted.dataset(images[..., None], labels))
    assert factors_.factors(asked, run) == {}
    rows = {(r["factor"], r["features"]): r for r in run.rows("Factors of variation")}
    assert len(rows) == 4 * 3
    shift, of_class = (rows[f, "seeing, last hidden layer"] for f in ("shift", "class"))
    assert shift["unit"] == pytest.approx(1, abs=1e-3)
    assert shift["layer"] == pytest.approx(1, abs=1e-2)
    assert shift["direction"] <= shift["unit"]
    # Of three equal classes a code tells one, which is half of what there is to tell.
    assert of_class["unit"] == pytest.approx(0.5, abs=1e-6)
    assert of_class["units"] == pytest.approx(0.5 / 3, abs=1e-6)
    for factor in ("shift", "rotation", "stroke width", "class"):
        blind = rows[factor, "blind, last hidden layer"]
        assert blind["unit"] == blind["direction"] == blind["units"] == 0
        assert (factor, "pixels") in rows
    # Ink gained on both sides does not move, and what is turned about the middle does.
    assert rows["stroke width", "seeing, last hidden layer"]["unit"] > 0.9
    assert rows["class", "pixels"]["unit"] == pytest.approx(0.5, abs=1e-6)


def test_cka_of_the_same_units_in_another_order_is_one(run):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (60, 64))
    first, second, last = (
        rng.normal(size=shape) for shape in ((64, 12), (12, 7), (7, 10))
    )
    mixed, again = rng.permutation(12), rng.permutation(7)
    silent = planted.dense(first, 0 * second, last, title="silent")
    nets = planted.Nets(
        {
            "cnn": planted.dense(first, second, last, title="one"),
            "cnn_again": planted.dense(
                2 * first[:, mixed], second[mixed][:, again], last[again], title="same"
            ),
            "cnn, untrained": silent,
            "cnn_robust": planted.dense(-first, second, last, title="other"),
        }
    )
    data = planted.dataset(x.reshape(-1, 8, 8, 1), np.arange(60) % 10)
    values = cka(planted.setting(nets, data), run)
    x = data.pixels().reshape(60, -1)
    below = np.maximum(x @ first, 0)
    above = np.maximum(below @ second, 0)
    beside = _by_grams(below, above)
    assert 0.1 < beside < 0.9
    assert values["rotation's change"] < 1e-6
    assert values["trained with untrained"] == 0
    assert values["other seed less untrained"] == pytest.approx(1, abs=1e-5)
    assert values["same layer less best other"] == pytest.approx(1 - beside, abs=1e-5)
    same, silent, other = run.rows("Similarity of layers")
    assert same == {"beside": "same", "conv 1": "1.000", "dense": "1.000"}
    assert silent == {"beside": "silent", "conv 1": "1.000", "dense": "0.000"}
    hidden = np.maximum(-x @ first, 0)
    expected = (
        _by_grams(below, hidden),
        _by_grams(above, np.maximum(hidden @ second, 0)),
    )
    assert [float(other[k]) for k in ("conv 1", "dense")] == pytest.approx(
        expected, abs=1e-3
    )


def _by_grams(x, y):
    """Centred alignment of the inner products of all pairs of images."""
    grams = [(f - f.mean(0)) @ (f - f.mean(0)).T for f in (x, y)]
    norms = [np.linalg.norm(g) for g in grams]
    return (grams[0] * grams[1]).sum() / np.prod(norms)
