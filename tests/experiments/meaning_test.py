"""The studies of what units see, on few images and a net of one epoch."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.studies import words
from experiments.studies.properties import (
    canvases,
    cnn_layers,
    deconvolution,
    image_changes,
    nets,
    proposals,
    setting,
)
from experiments.studies.properties.studies import MEANING
from experiments.studies.wordvectors import rotations
from robust_jax import analysis, datasets, train
from tests.experiments import planted

pytestmark = pytest.mark.xdist_group("meaning")
PLANTED = ("occlude", "correspondence", "curves")  # By planted_meaning_test.
QUICK = ("proposals", "deconvolution")
SLOW = (
    "invariance",
    "activation_maximisation",
    "attribution",
    "tcav",
    "sparse_autoencoder",
)


@pytest.fixture(scope="module")
def given():
    parts = [datasets.load("digits", s) for s in ("train", "validation", "test")]
    made = nets.Nets("digits", 0, *parts[:2])
    small = {"model_config": (("features", (3, 4)), ("hidden", 8))}
    made._recipes = {
        name: recipe.changed(
            {"epochs": 2, "validate_every": 2} | (small if name == "pooled" else {})
        )
        for name, recipe in made._recipes.items()
    }
    few = parts[2].take(np.arange(120))
    return setting.Setting("digits", 0, parts[0], few, made, True)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(s, marks=pytest.mark.full) for s in SLOW)]
)
def test_studies_run_and_leave_numbers_and_figures(given, name, tmp_path, monkeypatch):
    make = canvases.made  # Of a hundred canvases there are thousands of regions.
    monkeypatch.setattr(canvases, "made", lambda data, n, rng: make(data, 4, rng))
    run = planted.Notebook(tmp_path)
    values = MEANING[name](given, run)
    assert all(np.isfinite(v) for v in values.values())
    assert run.figures or run.tables
    assert all(path.stat().st_size > 2_000 for path in run.figures)
    assert all(rows for rows in run.tables.values())


def test_every_study_is_tried():
    assert {*PLANTED, *QUICK, *SLOW, "wordvectors"} == set(MEANING)


def test_frames_are_one_more_kind_of_change(given, tmp_path):
    clip = np.random.default_rng(0).random((120, 8, 8, 1)).astype(np.float32)
    asked = dataclasses.replace(given, clip=clip)
    moved = image_changes.of(asked, given.test.pixels())["frames"]
    assert len(moved) == 11 and len(moved[0]) == 110
    np.testing.assert_array_equal(moved[0][5], moved[5][0])


def test_canvases_know_whose_ink_it_is(given):
    made = canvases.made(given.test, 5, np.random.default_rng(0))
    assert made.images.shape == (5, 24, 24, 1) and made.owners.shape == (5, 24, 24)
    assert (made.images[made.owners >= 0] > 0.2).all()
    for owners in made.owners:
        assert len(set(owners[owners >= 0])) >= 2
    boxes = np.array([[0, 0, 0, 24, 24], [0, 0, 0, 1, 1]])
    first, corner = canvases.shown(made.owners, boxes)
    inside = made.owners[0][made.owners[0] >= 0]
    assert first == np.bincount(inside).argmax()
    assert corner == made.owners[0, 0, 0]


def test_purity_counts_regions_without_a_digit():
    assert proposals.purity(np.array([1, 1, 2, -1])) == 0.5
    assert proposals.purity(np.array([-1, -1])) == 0.0


def test_frames_are_drawn_around_what_a_unit_sees():
    made = proposals.framed(np.zeros((1, 30, 30, 1)), (10, 0, 20, 30))
    assert made.shape == (1, 90, 90, 1)
    assert (made[0, 30] == 1).all() and (made[0, 59] == 1).all()
    assert (made[0, 31:59, 1:89] == 0).all() and made[0, 31, 0, 0] == 1
    assert (made[0, :30] == 0).all()


def test_the_layers_are_in_their_order(given):
    net, x = given.nets["pooled"], given.test.pixels()[:3]
    layers = cnn_layers.of_cnn(net, x.shape[1:])
    found = {name: np.asarray(layer(x)) for name, layer in layers.items()}
    pooled = found["conv1"].clip(0).reshape(3, 4, 2, 4, 2, -1).max((2, 4))
    np.testing.assert_allclose(found["pool1"], pooled, atol=1e-6)
    again = found["conv2"].clip(0).reshape(3, 2, 2, 2, 2, -1).max((2, 4))
    np.testing.assert_allclose(found["pool2"], again, atol=1e-6)
    last = net.variables["params"]["Dense_1"]
    logits = found["fc1"].clip(0) @ last["kernel"] + last["bias"]
    expected = jax.vmap(net.logits_fn)(x)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert list(cnn_layers.WINDOWS) == ["conv1", "pool1", "conv2", "pool2"]
    assert analysis.receptive_field(cnn_layers.WINDOWS["pool2"]).size == 16


def test_snapshots_are_the_weights_on_the_way(given):
    recipe = given.nets.recipe("pooled")
    few = given.training.take(np.arange(300))
    total = recipe.epochs * recipe.steps_per_epoch(300)
    kept = deconvolution.Snapshots([2, total], 2)
    done = train.fit(recipe, few, few, seed=0, checkpointer=kept)
    assert sorted(kept.weights) == [2, total]
    last, first = kept.weights[total], kept.weights[2]
    same = jax.tree.map(np.array_equal, last, jax.tree.map(np.asarray, done.variables))
    assert all(jax.tree.leaves(same))
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, last, first)))


def test_a_rotation_keeps_answers_and_a_stretch_does_not():
    read, sections = words.planted_language(3_000, families=1, pairs=6)
    text = words.corpus(read)
    done = words.train(text, words.Settings(size=12, epochs=2, sample=0.0))
    found = words.answer(done.vectors, sections)
    assert rotations.answers_kept(done.vectors, found, sections, 30_000, 0) > 0.98
    stretched = done.vectors.rotated(np.diag(np.linspace(0.1, 3, 12)))
    other = words.answer(stretched, sections)
    assert (other[0].answers != found[0].answers).any()
