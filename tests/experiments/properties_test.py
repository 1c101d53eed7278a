"""The studies of nets' properties: the table of gates, the nets, and one small run."""

import json

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.studies.properties import (
    __main__ as program,
    gate as gate_,
    gates,
    nets,
    recipes,
    studies,
)
from experiments.studies.properties.nearest import distances, nearest, targets
from robust_jax import datasets, models

pytestmark = pytest.mark.xdist_group("properties")


@pytest.fixture(scope="module")
def parts():
    return [datasets.load("digits", s) for s in ("train", "validation", "test")]


@pytest.fixture(scope="module")
def digits_nets(parts):
    return nets.Nets("digits", 0, *parts[:2])


def test_every_gate_belongs_to_a_study():
    assert {gate.study for gate in gates.GATES} <= set(studies.STUDIES)
    for gate in gates.GATES:
        assert np.isfinite([gate.low, gate.high]).any(), gate
        assert set(gate.datasets) <= {"digits", "mnist", *gate_.PLANTED, *gate_.TEXT}


def test_gates_are_judged_by_their_bounds():
    values = {"dissect": {"detectors kept, trained": 0.8}}
    values["dissect"]["detectors kept, untrained"] = 1.3
    kept, wide = gates.judged("mnist", ["dissect"], values)
    assert kept["passed"] and kept["expected"] == "<= 0.8" and kept["found"] == 0.8
    assert not wide["passed"] and wide["expected"] == "0.75 to 1.25"
    (none,) = gates.judged("digits", ["dissect"], values)
    assert none["value"] == "no gate" and none["passed"] is None


def test_a_value_that_is_not_a_number_does_not_pass():
    values = {"cka": dict.fromkeys((g.value for g in gates.GATES), float("nan"))}
    rows = gates.judged("digits", ["cka"], values)
    assert rows and not any(row["passed"] for row in rows)


@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_every_net_has_a_recipe_and_a_title(dataset):
    made = recipes.by_name(dataset)
    assert set(made) | {"ae400"} == set(nets.TITLES)
    assert all(recipe.dataset == dataset for recipe in made.values())


def test_halves_are_disjoint_and_train_other_nets(digits_nets, parts):
    first, second = (nets.part(f"fc100_{p}", parts[0]) for p in ("first", "second"))
    assert len(first) + len(second) == len(parts[0]) == len(nets.part("cnn", parts[0]))
    assert not set(first.ids) & set(second.ids)
    assert digits_nets.error("fc100_first", first) < 0.01
    assert digits_nets.error("fc100_second", second) < 0.01
    assert digits_nets.error("fc100_first", second) > 0.01


def test_the_code_net_is_an_autoencoder_below_a_classifier(digits_nets, parts):
    assert digits_nets.error("ae400", parts[2]) < 0.08
    assert digits_nets["ae400"] is digits_nets["ae400"]
    untrained = digits_nets.untrained("fc100")
    assert untrained.title.endswith("untrained")


def test_nearest_images_are_seen_as_the_goals(digits_nets, parts):
    few = parts[2].take(np.arange(12))
    net, images = digits_nets["fc10_1e-2"], few.pixels()
    goals = targets(few.labels, np.random.default_rng(0))
    assert (goals != few.labels).all()
    moved = nearest(net.logits_fn, images, goals, 0)
    seen = np.array([int(np.argmax(net.logits_fn(x))) for x in moved])
    assert (seen == goals).mean() > 0.9  # A tie may go either way.
    found = distances(moved, images)
    expected = np.linalg.norm((moved - images).reshape(12, -1), axis=1) / 8
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_kept_nets_are_found_again(parts, tmp_path):
    first = nets.Nets("digits", 0, *parts[:2], folder=str(tmp_path))["fc10_1"]
    again = nets.Nets("digits", 0, *parts[:2], folder=str(tmp_path))["fc10_1"]
    x = parts[2].pixels()[0]
    assert (models.logits_fn(*first[1:3])(x) == again.logits_fn(x)).all()
    assert again.history == first.history  # Its seconds, too: it was not trained anew.


@pytest.mark.parametrize(("change", "passed"), [(1e-9, True), (1e-3, False)])
def test_the_program_writes_and_checks_the_gates(change, passed, monkeypatch, tmp_path):
    def study(setting, run):
        run.table("Found", "A caption.", [{"change": change}])
        names = (gate.value for gate in gates.GATES if gate.study == "cka")
        return dict.fromkeys(names, 1.0) | {"rotation's change": change}

    monkeypatch.setitem(studies.STUDIES, "cka", study)
    given = ["studies.properties", "--study=cka", "--check", f"--out={tmp_path}"]
    with flagsaver.flagsaver():
        flags.FLAGS(given)
        if passed:
            program.main([])
        else:
            with pytest.raises(SystemExit, match="1"):
                program.main([])
    record = json.loads((tmp_path / "record.json").read_text())
    by_value = {row["value"]: row["passed"] for row in record["rows"]}
    assert by_value.pop("rotation's change") is passed and all(by_value.values())
    assert len(record["notes"]) == (not passed)
    assert record["series"]["tables"] == {"Found": [{"change": change}]}
    held = len(by_value) + passed
    page = (tmp_path / "index.html").read_text()
    assert f"{held} of {len(by_value) + 1} gates hold" in page and "A caption." in page
