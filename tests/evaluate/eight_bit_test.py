import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

import robust_jax as rj

SIDE = 2
# The sum of pixels at which the class changes; FGSM lowers each by 25.5 / 255.
BORDER = 1.0
LEVELS = np.array([70, 89, 90, 120], np.uint8)  # 1.098 to 1.88, of four pixels each.
PLAN = (rj.evaluate.Stage("fgsm", rj.attacks.fgsm()),)


def net(x):
    return jnp.array([1.0, -1.0]) * (jnp.sum(x) - BORDER)


def judged(images, threat=None, model=net, plan=PLAN, **options):
    threat = rj.threats.Linf(0.1) if threat is None else threat
    labels = np.zeros(len(images), int)
    options = {"plan": plan, "audit": False, **options}
    return rj.evaluate.robustness(model, images, labels, threat, **options)


def images(channels=1):
    one = LEVELS.astype(np.float32) / 255 / channels
    return np.broadcast_to(one[:, None, None, None], (4, SIDE, SIDE, channels)).copy()


def test_images_are_rounded_inside_and_judged_as_they_are_in_the_files(tmp_path):
    """4 * (89 - 25.5) / 255 = 0.996 is across the border, and 4 * 64 / 255 is not."""
    report = judged(images())
    assert (report.winner >= 0).tolist() == [True, True, False, False]
    saved = report.write_images(tmp_path / "png")
    assert saved.positions.tolist() == [0, 1]
    assert saved.adversarial.tolist() == [True, False]
    assert saved.inside.all()
    assert saved.robust_accuracy.value == 0.75 and report.robust_accuracy.value == 0.5
    for row, name in enumerate(("00000", "00001")):
        clean, found = (
            np.asarray(Image.open(tmp_path / f"png/{name}_{kind}.png"), np.float32)
            for kind in ("clean", "adversarial")
        )
        assert (clean == LEVELS[row]).all() and (found == LEVELS[row] - 25).all()
        assert (net(found / 255)[0] < 0) == saved.adversarial[row]
    with (tmp_path / "png/verdicts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["adversarial"] for row in rows] == ["1", "0"]
    assert rows[0]["stage"] == "fgsm" and rows[0]["id"] == str(report.ids[0])
    assert str(saved).startswith("of 2 adversarial images 1 are adversarial in 8 bits")


def test_on_a_lattice_nothing_is_lost(tmp_path):
    report = judged(images(), rj.threats.Linf(0.1, lattice=1 / 255))
    saved = report.write_images(tmp_path)
    assert saved.adversarial.all() and saved.inside.all()
    assert saved.robust_accuracy.value == report.robust_accuracy.value


def test_a_radius_below_a_level_is_told(tmp_path):
    """The clean pixels lie between the levels: rounding moves them by up to a half."""
    given = images() + np.float32(0.4 / 255)
    given[0] = 0.2502
    saved = judged(given, rj.threats.Linf(0.0003)).write_images(tmp_path)
    assert saved.positions.tolist() == [0] and not saved.inside.any()
    assert saved.robust_accuracy.value == 1.0


@pytest.mark.parametrize(
    ("given", "threat", "said"),
    [
        (np.full((1, 4), 0.3, np.float32), None, r"images of shape \(1, 4\); expected"),
        (
            images() - 0.5,
            rj.threats.Linf(0.1, lower=-1.0),
            r"in a box from -1 to 1; expected pixels in \[0, 1\]",
        ),
    ],
)
def test_what_no_png_holds_is_a_sentence(tmp_path, given, threat, said):
    model = lambda x: net(x + 1.0)  # noqa: E731
    with pytest.raises(ValueError, match=said):
        judged(given, threat, model).write_images(tmp_path / "png")
    assert not (tmp_path / "png").exists()


ABOUT = {"paper": "A title", "architecture": "Linear", "additional_data": False}


def test_a_claim_says_what_was_measured(tmp_path):
    report = judged(images(3), rj.threats.Linf(8 / 255))
    report.to_robustbench(tmp_path, dataset="cifar10", name="Doe2026Title", **ABOUT)
    claim = json.loads((tmp_path / "Doe2026Title.json").read_text())
    assert claim["eps"] == "8/255" and claim["clean_acc"] == "100.00"
    assert claim["reported"] == f"{100 * report.robust_accuracy.value:.2f}" == "75.00"
    assert "autoattack_acc" not in claim and claim["venue"] is None
    tensor = torch.load(tmp_path / "adversarial.pt", weights_only=True)
    assert tensor.shape == (4, 3, SIDE, SIDE) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy().transpose(0, 2, 3, 1), report.x_adv)
    text = (tmp_path / "issue.md").read_text()
    assert "**Robust accuracy**: 75.00 % (4 of the test set's 10000 images)" in text
    assert "**Evaluation method**: the worst case (fgsm) by robust_jax" in text
    assert "**Paper URL**: (to be filled in)" in text


def test_only_the_standard_plan_is_autoattack(tmp_path):
    plan = rj.evaluate.standard("linf", 2)
    short = rj.attacks.pgd(1)
    plan = tuple(rj.evaluate.Stage(s.name, short, s.goals, s.restarts) for s in plan)
    report = judged(images(3), rj.threats.Linf(8 / 255), plan=plan)
    report.to_robustbench(tmp_path, dataset="cifar10", name="Doe2026Title")
    assert "autoattack_acc" not in (tmp_path / "Doe2026Title.json").read_text()


@pytest.mark.parametrize(("targets", "is_theirs"), [(9, True), (1, False)])
def test_the_standard_plan_is_autoattack_with_all_its_targets(
    tmp_path, targets, is_theirs
):
    """Of images that the net gets wrong, so that nothing needs to be attacked."""
    wrong = lambda x: jnp.arange(10.0) - 0 * jnp.sum(x)  # noqa: E731
    ce, apgd_t, fab_t, square = rj.evaluate.standard("linf", 10)
    goals = rj.evaluate.likeliest_targets(targets)
    plan = (ce, dataclasses.replace(apgd_t, goals=goals), fab_t, square)
    report = judged(images(3), rj.threats.Linf(8 / 255), wrong, plan)
    report.to_robustbench(tmp_path, dataset="cifar10", name="Doe2026Title")
    claim = json.loads((tmp_path / "Doe2026Title.json").read_text())
    assert (claim.get("autoattack_acc") == "0.00") == is_theirs


def test_what_is_partial_or_refuted_is_no_claim(tmp_path):
    report = judged(images(3), rj.threats.Linf(8 / 255))
    partial = dataclasses.replace(report.stages[0], unfinished=2)
    for change, said in (
        ({"stages": (partial,)}, "partial, 2 attacks were not finished"),
        ({"claims": report.claims._replace(outside=np.arange(1))}, "do not hold"),
    ):
        with pytest.raises(ValueError, match=said):
            dataclasses.replace(report, **change).to_robustbench(
                tmp_path / "out", dataset="cifar10", name="Doe2026Title"
            )
    assert not (tmp_path / "out").exists()


def test_a_net_that_draws_has_no_verdict_of_a_file(tmp_path):
    random = lambda x, key: net(x) + 0 * jax.random.normal(key, (2,))  # noqa: E731
    report = judged(images(), model=random, takes="example and key", samples=2)
    with pytest.raises(ValueError, match="one answer to a file is no verdict"):
        report.write_images(tmp_path / "png")
    assert not (tmp_path / "png").exists()


@pytest.mark.parametrize(
    ("threat", "given", "said"),
    [
        (rj.threats.Linf(0.1, upper=2.0), {}, r"expected Linf or L2 of one radius in"),
        (rj.threats.Linf(0.1, upper=np.array([1, 1, 0.9])), {}, "expected Linf or L2"),
        (rj.threats.Linf(0.1, mask=np.ones(1)), {}, r"expected Linf or L2 of one"),
        (rj.threats.L1(1.0), {}, r"threat=L1\(.*; expected Linf or L2 of one radius"),
        (
            None,
            {"dataset": "mnist"},
            "unknown dataset 'mnist' .known: cifar10, cifar100",
        ),
        (None, {"name": "a/b"}, "name='a/b'; expected letters, digits"),
        (None, {"autors": "A"}, "unknown field 'autors'; did you mean 'authors'"),
    ],
)
def test_what_is_no_claim_is_a_sentence(tmp_path, threat, given, said):
    report = judged(
        images(3), threat, plan=(rj.evaluate.Stage("p", rj.attacks.pgd(1)),)
    )
    given = {"dataset": "cifar10", "name": "Doe2026Title", **given}
    with pytest.raises(ValueError, match=said):
        report.to_robustbench(tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
