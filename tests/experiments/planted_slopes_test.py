"""The studies that ask how far and how steep, on affine nets, whose answers are known.

The nets tell two classes apart by the side of a plane; images lie at known distances.
"""

import numpy as np
import pytest
from scipy import stats

from experiments.studies.properties.align import align
from experiments.studies.properties.aligned_subspaces import aligned_subspaces
from experiments.studies.properties.confidence import confidence
from experiments.studies.properties.spectral import spectral
from experiments.studies.properties.stability import stability
from tests.experiments import planted

pytestmark = pytest.mark.xdist_group("planted studies")
N = 40  # images at each distance, of both classes
ROOT = 8.0  # of the number of pixels
DISTANCES = 0.032 * np.array([2, 6, 11, 19, 39])  # L2, to the plane through grey.
AWAY = np.repeat(DISTANCES, N)
LABELS = np.tile([0, 1], len(AWAY) // 2)
SIGNS = 1.0 - 2 * LABELS
NORMAL = np.tile([1.0, -1.0], 32) / ROOT  # Grey does not lean to either side.
ACROSS = np.repeat([1.0, -1.0], 32) / ROOT
# By net: the cosine of its plane's normal, and how much nearer class 0 is.
PLANES = {
    "fc100": (1.0, 0.0),
    "cnn": (1.0, 0.016),
    "cnn_robust": (0.28, 0.0),
    "cnn_again": (1.0, -0.16),
}


def plane(title, normal, nearer):
    kernel = np.zeros((64, 10))
    kernel[:, 0], kernel[:, 1] = normal, -normal
    return planted.affine(kernel, [-nearer, nearer, *[-100] * 8], title)


def away(name):
    """The distance of each image to the boundary; below 0 the net is wrong."""
    cosine, nearer = PLANES[name]
    return cosine * AWAY - SIGNS * nearer


@pytest.fixture(scope="module")
def given():
    pixels = 0.5 + (AWAY * SIGNS)[:, None] * NORMAL
    nets = planted.Nets()
    for name, (cosine, nearer) in PLANES.items():
        normal = cosine * NORMAL + (1 - cosine**2) ** 0.5 * ACROSS
        nets[name] = plane(name, normal, nearer)
    return planted.setting(nets, planted.dataset(pixels.reshape(-1, 8, 8, 1), LABELS))


@pytest.fixture
def run(tmp_path):
    notebook = planted.Notebook(tmp_path)
    yield notebook
    notebook.look()


def test_stability_loses_what_lies_within_the_radius(given, run):
    assert stability(given, run) == {}
    rows = run.series["stability"]
    assert len(rows) == 3 * 8 and len(run.rows("changes of equal size")) == 3 * 4
    names = ("fc100", "cnn", "cnn_robust")
    for name, part in zip(names, np.split(np.array(rows), 3), strict=True):
        for row in part:
            size, right = row["size"], away(name) > 0
            assert row["net"] == name
            # Steps of 1/30 of the radius go 0.8 of it from all starts but a few.
            least = np.mean(away(name) > size * ROOT)
            assert least <= row["worst"] <= least + 0.02, (name, size)
            # Along one direction, noise of that size on every pixel is as large.
            kept = stats.norm.cdf(away(name) / size) if size else right
            assert row["noise"] == pytest.approx(np.mean(kept), abs=0.05), (name, size)


def test_gaas_counts_the_directions_that_reach_the_plane(given, run):
    values = aligned_subspaces(given, run)
    seen = (away("cnn") > 0) & (away("cnn_again") > 0)
    near, other = away("cnn")[seen], away("cnn_again")[seen]
    assert 100 < seen.sum() < len(AWAY)
    rows = run.rows("Adversarial directions")
    assert [row["count"] for row in rows] == [1, 4, 16, 64]
    for row in rows:
        length = row["count"] ** -0.5  # Of a unit step along one of them.
        fools, both = near < length, (near < length) & (other < length)
        assert row["share"] == pytest.approx(fools.mean(), abs=1e-6)
        assert row["transferring_share"] == pytest.approx(both.mean(), abs=1e-6)
        assert row["adversarial"] == pytest.approx(row["count"] * row["share"])
        assert row["transferring"] == pytest.approx(
            row["count"] * row["transferring_share"]
        )
        # A coordinate of a random direction, squared, is of a beta distribution.
        random = stats.beta(0.5, 63 / 2).sf(near**2).mean() / 2
        spread = (random / (len(near) * row["count"])) ** 0.5
        assert row["random"] == pytest.approx(random, abs=5 * spread)
    four = rows[1]
    assert values["share adversarial, k=1"] == rows[0]["share"]
    assert values["share adversarial, k=4"] == four["share"]
    assert values["share transferring, k=4"] == four["transferring_share"]
    assert values["random directions"] == four["random"]
    assert 0.2 < four["transferring_share"] < four["share"] < rows[0]["share"]


def test_align_is_the_angle_of_image_and_normal(given, run):
    grey = np.ones(64) / ROOT
    normals = {"cnn": NORMAL, "cnn_robust": 0.8 * NORMAL + 0.6 * grey}
    bias = 0.6 * grey @ np.full(64, 0.5)  # Grey stays on the plane ...
    changed = {
        "cnn": given.nets["fc100"],
        "cnn_robust": plane("robust", normals["cnn_robust"], bias),
    }
    nets = planted.Nets({**given.nets, **changed})
    values = align(planted.setting(nets, given.test), run)
    x, rows = given.test.pixels().reshape(-1, 64), run.rows("Alignment")
    for row, (name, normal) in zip(rows, normals.items(), strict=True):
        along = np.abs(x @ normal)
        assert row["alpha"] == pytest.approx(along.mean(), rel=1e-4), name
        cosine = (along / np.linalg.norm(x, axis=1)).mean()
        assert row["cosine"] == pytest.approx(cosine, rel=1e-4)
        assert row["error"] == 0
        # ... and an Linf step goes as far along a normal as its L1 norm.
        far = AWAY * (normal @ NORMAL) > 0.15 * np.abs(normal).sum()
        assert row["robust_error"] == np.mean(~far)
    plain, robust = rows
    assert 0.5 < robust["robust_error"] < 1 and plain["robust_error"] < 1
    assert values == {
        "cosine, robust / plain": robust["cosine"] / plain["cosine"],
        "robust error, robust / plain": robust["robust_error"] / plain["robust_error"],
    }


def sure(scale, size):
    """The softmax of one logit of ten."""
    return np.exp(scale * size) / (np.exp(scale * size) + 9)


def test_confidence_is_that_of_a_planted_net(run):
    """The net reads ten pixels, sure by how bright the brightest is."""
    kernel = 8 * np.eye(64, 10)
    nets = planted.Nets(
        {"cnn": planted.affine(kernel), "cnn_robust": planted.affine(kernel / 2)}
    )
    labels = np.arange(20) % 10
    said = np.where(np.arange(20) < 15, labels, (labels + 1) % 10)  # 3 of 4 right.
    shown = {"clean": 0.5, "moved": 0.2, "pgd": 0.3}
    answers = (said, (labels + 2) % 10, (labels + 3) % 10)
    images = {
        kind: (size * np.eye(64)[answer]).reshape(-1, 8, 8, 1).astype(np.float32)
        for (kind, size), answer in zip(shown.items(), answers, strict=True)
    }
    images["moved"][0] = np.nan  # None was found: it counts unchanged.
    asked = planted.setting(nets, planted.dataset(images["clean"], labels))
    for name in nets:
        asked._made["L-BFGS", name] = images["moved"]
        asked._made["PGD", name] = images["pgd"]
    values = confidence(asked, run)

    by_net = np.split(np.array(run.rows("Confidence")), 2)
    for scale, rows in zip((8, 4), by_net, strict=True):
        clean, noise, minimal, pgd = rows
        one, few, many = (sure(scale, size) for size in shown.values())
        assert clean["accuracy"].successes == 15 and clean["accuracy"].n == 20
        assert clean["confidence"] == pytest.approx(one)
        assert clean["wrong"] == pytest.approx(one)
        assert clean["ece"] == pytest.approx(abs(one - 0.75), abs=1e-6)
        assert clean["margin"] == pytest.approx(scale * 0.5 * (0.75 - 0.25), abs=1e-5)
        assert minimal["accuracy"].successes == 1  # The one that was not found.
        assert minimal["wrong"] == pytest.approx(few)
        assert minimal["ece"] == pytest.approx((19 * few + abs(1 - one)) / 20, abs=1e-6)
        assert pgd["accuracy"].successes == 0
        assert pgd["wrong"] == pytest.approx(many) == pytest.approx(pgd["confidence"])
        assert pgd["margin"] == pytest.approx(-scale * 0.3, abs=1e-5)
        moved = np.where(np.isnan(images["moved"]), images["clean"], images["moved"])
        change = (moved - images["clean"]).reshape(20, -1)
        size = np.sqrt((change**2).mean(axis=1)).mean()
        assert noise["shown"] == f"noise of {size:.3f}"
        assert minimal["shown"] == f"minimal distortion, {size:.3f}"
    first = run.rows("Confidence")[3]
    assert values == {"median wrong confidence, plain net": first["wrong"]}


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    """What the study says, the notebook, and half of each image's gap.

    Ten pixels are the classes' codes; another one, which no attack uses, weighs.
    """
    code, heavy = np.eye(64, 10), np.zeros((64, 10))
    heavy[20, 0] = 7.0
    halves = np.concatenate([np.eye(10), -np.eye(10), np.eye(10)], axis=1)
    back = np.concatenate([np.eye(10), -np.eye(10), 0.1 * np.eye(10)])
    nets = planted.Nets(
        {
            "fc10_1e-4": planted.affine(2 * code, title="told too near"),
            "fc100": planted.affine(3 * code + heavy, title="heavy"),
            "cnn": planted.affine(2 * code, title="plain"),
            # ReLU lets one of two halves through, and no third in the box.
            "cnn_robust": planted.dense(
                code @ halves,
                5 * back,
                first=np.repeat([0, -1], [20, 10]),
                title="halved",
            ),
        }
    )
    labels = np.arange(30) % 10
    x = np.full((30, 64), 0.4)
    x[np.arange(30), labels] = np.linspace(0.5, 0.9, 30)
    asked = planted.setting(nets, planted.dataset(x.reshape(-1, 8, 8, 1), labels))
    x, goals, rows = asked.test.pixels().reshape(30, 64), asked.goals(), np.arange(30)
    half = (x[rows, labels] - x[rows, goals])[:, None] / 2
    change = half * (np.eye(64)[goals] - np.eye(64)[labels])
    for name in nets:
        share = 0.5 if name == "fc10_1e-4" else 1.0
        moved = (x + share * change).reshape(-1, 8, 8, 1).astype(np.float32)
        moved[3] = np.nan  # None was found ...
        moved[4] = asked.test.pixels()[4]  # ... or none was sought.
        asked._made["L-BFGS", name] = moved
    run = planted.Notebook(tmp_path_factory.mktemp("spectral"))
    values = spectral(asked, run)
    run.look()
    return values, run, half


def test_spectral_finds_the_operator_norms_of_planted_layers(spectra):
    values, run, _ = spectra
    norms = {(row["net"], row["name"]): row for row in run.rows("Norms of the layers")}
    expected = {"heavy": np.hypot(3, 7), "plain": 2.0}
    for name, norm in expected.items():
        row = norms[name, "Dense_0"]
        assert row["norm"] == row["bound"] == pytest.approx(norm)
    assert norms["halved", "Dense_0"]["norm"] == pytest.approx(3**0.5)
    assert norms["halved", "Dense_1"]["norm"] == pytest.approx(5 * 2.01**0.5)
    assert [row["net"] for row in run.rows("Slopes")] == ["heavy", "plain", "halved"]
    for row, product, jacobian, slope in zip(
        run.rows("Slopes"),
        (58**0.5, 2, 5 * 6.03**0.5),
        (58**0.5, 2, 5),
        (3, 2, 5),
        strict=True,
    ):
        assert row["product"] == pytest.approx(product, rel=1e-5)
        assert row["jacobian"] == pytest.approx(jacobian, rel=1e-4)
        assert row["slope"] == pytest.approx(slope, rel=1e-3)
    assert values["product / largest Jacobian"] == pytest.approx(1, rel=1e-4)
    assert values["largest Jacobian / slope"] == pytest.approx(1, rel=1e-3)


def test_spectral_compares_clever_with_the_distances_told(spectra):
    values, run, half = spectra
    # Of an affine net CLEVER is the distance, which is twice the one that was told.
    assert values["CLEVER below the distance, cnn"] == 18 / 20
    assert values["CLEVER below the distance, fc10_1e-4"] == 0
    mean = (2**0.5 * half[:20, 0]).mean()
    told, plain = run.rows("CLEVER")
    assert told["mean CLEVER"] == pytest.approx(mean, rel=1e-3)
    assert plain["mean CLEVER"] == pytest.approx(mean, rel=1e-3)
    found = 2**0.5 * np.delete(half[:20, 0], [3, 4]).sum() / 19
    assert plain["mean distance"] == pytest.approx(found, rel=1e-3)
    assert told["mean distance"] == pytest.approx(found / 2, rel=1e-3)
