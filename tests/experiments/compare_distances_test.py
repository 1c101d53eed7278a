"""Minimum-norm attacks beside other libraries', without them: a script plays them."""

import json
import math

import jax
import numpy as np
import pytest

from experiments.comparisons.peers import minimum_norm, nearest
from experiments.comparisons.peers.libraries import Libraries
from experiments.comparisons.peers.pair import Peer
from experiments.comparisons.peers.problem import Problem
from robust_jax import threats
from tests import victims
from tests.experiments import command_line, player

pytestmark = pytest.mark.xdist_group("compare_peers")
N, BUDGET = 6, 1000
GIVEN = "comparisons.compare_distances --checkpoint=net.safetensors"
# Forwards and backwards of one step, where every step costs the same.
STEP = {
    **dict.fromkeys(("DDNAttack", "LInfFMNAttack", "L2FMNAttack"), 2),
    **dict.fromkeys(("L1FMNAttack", "L0FMNAttack", "L2CarliniWagnerAttack"), 2),
    **dict.fromkeys(("L2DeepFoolAttack", "LinfDeepFoolAttack"), 18),
    **dict.fromkeys(("EADAttack", "NewtonFool"), 3),
    **dict.fromkeys(("FAB", "fab_pt.FABAttack_PT"), 12),
    **dict.fromkeys(("ddn", "fmn", "alma", "pdgd", "pdpgd", "sigma_zero", "CW"), 2),
    **dict.fromkeys(("carlini_wagner_l2",), 2),
    "ElasticNet": 6,
    "vfga": 22,
    "df": 10,
}
STEPS = ("steps", "max_iter", "n_iter", "num_steps", "max_iterations")

# (command, what the sentence must hold)
BAD = [
    (f"{GIVEN} --peers_python=none", "run `make peers` first"),
    (f"{GIVEN} --eps=0.1", "eps=0.1; minimum-norm attacks have no radius"),
    (f"{GIVEN} --libraries=foolbux", "did you mean 'foolbox'"),
    (f"{GIVEN} --norm=l3", "norm"),
    (f"{GIVEN} --norm=l2 --attacks=dnn", "did you mean 'ddn'"),
]

# The libraries' side: foolbox halves the way to black, adv_lib is missing.
PLAYER = (
    player.START
    + """
print(json.dumps({{"versions": {{"foolbox": "9"}}, "threads": 2}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    assert request["eps"] is None, request
    if request["library"] == "adv_lib":
        said = {{"error": "ModuleNotFoundError: adv_lib is not installed"}}
    else:
        np.savez(sys.argv[3], x_adv=images / 2)
        cost = 999.0 if request["attack"] == "DDNAttack" else 3.0
        said = {{"seconds": 1.5, "forwards": cost, "backwards": 2.0}}
    print(json.dumps(said), flush=True)
"""
)


def _problem(norm):
    """Two logits, a pixel each, of images that are all of the first class."""
    images = victims.inputs((3, 3, 1), N, low=0.4, high=0.6)
    images[:, 0, 0] = 0.75
    model = jax.tree_util.Partial(lambda x: x[0, :2, 0])
    logits = np.asarray(jax.vmap(model)(images))
    threat = threats.by_name(norm)(math.inf)
    labels = np.zeros(N, int)
    return Problem(model, threat, images, labels, np.arange(N), N, logits)


@pytest.mark.parametrize(
    ("norm", "size"), [("linf", 0.5), ("l2", 0.375**0.5), ("l1", 1.0), ("l0", 3.0)]
)
def test_distances_are_those_of_the_norm(norm, size):
    problem = _problem(norm)
    images = np.full_like(problem.images, 0.25)
    images[:, 0, 0] = 0.75
    x_adv = images.copy()
    x_adv[:, 0, 0], x_adv[:, 1, 0], x_adv[:, 2, 0] = 0.25, 0.5, 0.5
    distances, lenient = nearest.judge(problem._replace(images=images), x_adv)
    assert distances.dtype == np.float64 and (lenient == distances).all()
    np.testing.assert_allclose(distances, size, rtol=1e-12)


def test_what_does_not_count_is_infinitely_far():
    problem = _problem("linf")
    x_adv = problem.images.copy()
    x_adv[1:, 0, 1] = 1  # All but the first are wrong now.
    x_adv[2, 2, 2] = 1 + 1e-5  # Outside the box ...
    x_adv[3, 2, 2] = np.nan
    x_adv[4, 0, 0] = -5e-7  # ... by no more than rounding.
    distances, lenient = nearest.judge(problem, x_adv)
    assert np.isinf(distances).tolist() == [True, False, True, True, False, False]
    assert distances[4] == 0.75 and (lenient == distances).all()


def test_a_tie_is_found_and_a_near_miss_by_leave():
    problem = _problem("l2")
    x_adv = problem.images.copy()
    x_adv[:, 0, 1] = 0.75
    x_adv[0, 0, 1] -= 1e-5
    x_adv[1, 0, 1] -= 1e-2
    distances, lenient = nearest.judge(problem, x_adv)
    assert np.isinf(distances).tolist() == [True] * 2 + [False] * 4
    assert np.isinf(lenient).tolist() == [False, True] + [False] * 4
    assert lenient[0] == pytest.approx(np.abs(x_adv[0] - problem.images[0]).max())


def test_a_result_of_another_shape_is_refused():
    problem = _problem("l2")
    with pytest.raises(ValueError, match=r"x_adv.shape=\(6, 1, 3, 3\); expected"):
        nearest.judge(problem, problem.images.transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return player.set_up(tmp_path_factory.mktemp("compare_distances"), PLAYER)


def test_a_run_is_measured_and_an_error_is_kept(folder):
    problem = _problem("l1")
    with Libraries(str(folder / "python"), {"images": problem.images}) as peers:
        missing = Peer("adv_lib", "ddn", lambda eps: {})
        found = nearest.measure(peers, missing, problem, 0)
        assert found == "ModuleNotFoundError: adv_lib is not installed"
        found = nearest.measure(peers, Peer("art", "x", lambda eps: {}), problem, 0)
    assert (found.seconds, found.forwards, found.backwards) == (1.5, 3.0, 2.0)
    judged = nearest.judge(problem, problem.images / 2)
    np.testing.assert_array_equal([found.distances, found.lenient], judged)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("budget", [100, BUDGET])
def test_steps_are_what_the_budget_allows(norm, budget):
    chosen = minimum_norm.of_norm(norm, budget)
    assert {peer.library for peer in chosen} <= set(minimum_norm.LIBRARIES)
    assert len(
        {(p.library, p.attack, minimum_norm.settings(p)) for p in chosen}
    ) == len(chosen)
    alone = [
        p
        for name in minimum_norm.LIBRARIES
        for p in minimum_norm.of_norm(norm, budget, (name,))
    ]
    assert [p.attack for p in alone] == [p.attack for p in chosen]
    for peer in chosen:
        given = peer.arguments(math.inf)
        assert json.loads(json.dumps(given)) == given
        if peer.attack in STEP and not given.get("targeted_restarts"):
            steps = next(given[name] for name in STEPS if name in given)
            searches = given.get("binary_search_steps", 1)
            cost = STEP[peer.attack] * steps * searches
            slack = STEP[peer.attack] * searches + 2  # One step more is too many.
            assert budget - slack <= cost <= budget, (peer.attack, given)


ALL = pytest.param("all", {"nearest", "ddn", "fmn", "fab"}, marks=pytest.mark.full)


@pytest.mark.parametrize(("attacks", "least"), [("ddn,fmn", {"ddn", "fmn"}), ALL])
def test_the_table_has_both_sides_and_one_sentence_for_what_is_missing(
    folder, attacks, least, monkeypatch
):
    monkeypatch.setenv("XLA_FLAGS", "")  # Hundreds of steps run faster optimised.
    options = "--count=12 --norm=l2 --libraries=foolbox,adv_lib --out=out"
    options += f" --attacks={attacks}"
    command = [*GIVEN.split(), f"--peers_python={folder / 'python'}", *options.split()]
    (end,) = command_line.run_all([command], folder)
    assert end.code == 0, end.err
    record = json.loads((folder / "out" / "record.json").read_text())
    rows, n = record["rows"], len(record["rows"][0]["distances"])
    by = {name: [r for r in rows if r["library"] == name] for name in _LIBRARIES}
    assert sum(map(len, by.values())) == len(rows) and all(by.values())
    assert {row["attack"] for row in by["robust_jax"]} >= least
    for row in by["robust_jax"]:
        assert row["forwards"] + row["backwards"] <= BUDGET and row["seconds"] > 0
        assert 0 <= row["optimality"] <= 1 and row["area"] > 0
    for row in by["foolbox"]:
        cost = 999.0 if row["attack"] == "DDNAttack" else 3.0
        assert (row["forwards"], row["backwards"]) == (cost, 2.0)
        found = [d for d in row["distances"] if d is not None]
        assert row["success"]["successes"] == len(found) and row["success"]["n"] == n
        far = sorted(math.inf if d is None else d for d in row["distances"])
        median = (far[(n - 1) // 2] + far[n // 2]) / 2
        assert row["median"] == (pytest.approx(median) if median < math.inf else None)
    ahead = [row["optimality"] for row in rows if "optimality" in row]
    assert ahead == sorted(ahead, reverse=True)
    assert record["notes"][1].startswith("Best of each side by optimality: ")
    over = "Over the budget of 1000: DDNAttack of foolbox (1001)."
    assert record["notes"][-1] == over
    sentences = [note for note in record["notes"] if "adv_lib is not" in note]
    assert len(sentences) == 1 and "pdpgd" in sentences[0] and "fmn" in sentences[0]


_LIBRARIES = ("robust_jax", "foolbox", "adv_lib")


def test_bad_input_is_one_sentence(folder):
    ends = command_line.run_all([command.split() for command, _ in BAD], folder)
    for (command, words), end in zip(BAD, ends, strict=True):
        assert (end.code, end.out) == (2, ""), (command, end.err)
        assert words in end.err and end.err.count("\n") == 1, (command, end.err)
