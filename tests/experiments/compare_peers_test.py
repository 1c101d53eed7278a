"""Comparing with other libraries, without them: scripts play their side."""

import json
import sys

import jax
import numpy as np
import pytest

from experiments.comparisons.peers import judging, ours, pairs
from experiments.comparisons.peers.libraries import Libraries, LibraryError
from experiments.comparisons.peers.pair import Peer
from experiments.comparisons.peers.problem import Found, Problem, pose
from robust_jax import attacks, datasets, evaluate, models, threats
from robust_jax.core.metrics import Proportion
from robust_jax.losses import objectives
from tests import victims
from tests.experiments import command_line, player

pytestmark = pytest.mark.xdist_group("compare_peers")
N, EPS, WRONG = 12, 0.2, 4
BUDGETS = ("steps", "max_iter", "n_iter", "n_queries")
GIVEN = "comparisons.compare_peers --eps=0.1 --checkpoint=net.safetensors"
HERE = f"--peers_python={sys.executable}"

# (command, what the sentence must hold)
BAD = [
    (f"{GIVEN} --peers_python=none", "run `make peers` first"),
    (f"{GIVEN} --attacks=PGD-4", "did you mean 'PGD-40'"),
    (f"{GIVEN} --norm=l0", "norm"),
    (f"{GIVEN} --repetitions=0", "repetitions=0; expected an integer >= 1"),
    (f"{GIVEN} {HERE}", "holds a MLP; expected a FastCNN"),
    ("comparisons.compare_peers", "eps"),
    ("comparisons.compare_peers --eps=0", "eps=0.0; expected a finite number > 0"),
    ("comparisons.compare_peers --eps=8", "eps=8 exceeds the width 1 of the"),
]

# The libraries' side as a script: it answers by what it is asked for.
PLAYER = (
    player.START
    + """
print(json.dumps({{"versions": {{"art": "9"}}, "threads": 2}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["attack"] == "Missing":
        said = {{"error": "AttributeError: Missing"}}
    elif request["attack"] == "Crash":
        sys.exit("out of memory")
    else:
        x_adv = images + request["arguments"]["eps"] + request["seed"]
        np.savez(sys.argv[3], x_adv=x_adv)
        said = {{"seconds": 1.5, "forwards": 3.0, "backwards": 2.0}}
    print(json.dumps(said), flush=True)
"""
)


@pytest.fixture(scope="module")
def problem():
    """An affine net of three classes, which gets all images right."""
    shape = (9, 1)
    images = victims.inputs(shape, N, low=0.4, high=0.6)
    model = victims.affine_victim(shape, 3)
    labels = victims.predicted(model, images)
    logits = np.asarray(jax.vmap(model)(images))
    return Problem(
        model, threats.Linf(EPS), images, labels, np.arange(N), N + WRONG, logits
    )


@pytest.fixture(scope="module")
def x_adv(problem):
    """Ours, which breaks every image."""
    found = ours.attack(_stage(), problem, 0)
    broken, outside = judging.judge(problem, found.x_adv)
    assert broken.all() and outside == 0
    return found.x_adv


def _stage(goals=evaluate.untargeted):
    return evaluate.Stage("bim", attacks.bim(6, 0.25, objectives.margin), goals)


def _claims(problem, x_adv, *positions):
    """The images, but adversarial at these positions."""
    claims = problem.images.copy()
    claims[list(positions)] = x_adv[list(positions)]
    return claims


def _finds(x_adv, name, log, seconds=(9.0, 1.0, 3.0, 2.0)):
    """An attack that finds x_adv and takes so many seconds, call by call."""
    clock = iter(seconds)

    def call(seed):
        log.append((name, seed))
        return Found(x_adv, next(clock), 2.0, 1.0)

    return call


def test_the_goal_does_not_change_what_an_affine_net_loses(problem, x_adv):
    found = ours.attack(_stage(evaluate.each_wrong_class), problem, 0)
    assert judging.judge(problem, found.x_adv)[0].all()
    # What the first target broke is spared by the second one.
    one, two = (ours.attack(_stage(g), problem, 0) for g in _GOALS)
    assert one.backwards <= found.backwards < one.backwards + two.backwards


_GOALS = tuple(
    lambda labels, logits, k=k: evaluate.each_wrong_class(labels, logits)[k : k + 1]
    for k in range(2)
)


def test_a_tie_of_clean_logits_is_not_attacked():
    """A net without weights gives all classes the same."""
    net, data = models.FastCNN(num_classes=10), datasets.load("digits", "validation")
    variables = models.functional.abstract_variables(net, (8, 8, 1))
    variables = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), variables)
    checkpoint = models.Checkpoint(net, variables, (8, 8, 1), {})
    with pytest.raises(ValueError, match="checkpoint=net gets all 5 images wrong"):
        pose("net", checkpoint, data.take(range(5)), threats.Linf(EPS))


def test_claims_outside_the_ball_or_the_box_do_not_count(problem, x_adv):
    claims = _claims(problem, x_adv, 0, 1, 2, 3)
    delta = claims[1] - problem.images[1]
    claims[1] = problem.images[1] + delta * (EPS + 1e-5) / np.abs(delta).max()
    top = float(claims[2].max())
    claims[2].flat[claims[2].argmax()] += 1e-5
    broken, outside = judging.judge(problem, claims)
    assert np.flatnonzero(broken).tolist() == [0, 2, 3] and outside == 1
    narrow = problem._replace(threat=threats.Linf(EPS, upper=top))
    assert not judging.judge(narrow, claims)[0][2]


def test_a_result_of_another_shape_is_refused(problem):
    with pytest.raises(ValueError, match=r"x_adv.shape=\(12, 1, 9\); expected"):
        judging.judge(problem, problem.images.transpose(0, 2, 1))


def test_runs_take_turns_and_are_judged_alike(problem, x_adv):
    log = []

    def fails(seed):
        raise LibraryError("KeyError: x")

    calls = {
        "robust_jax": _finds(_claims(problem, x_adv, 0, 1, 2), "ours", log),
        "failing": fails,
        "art": _finds(
            _claims(problem, x_adv, 2, 3), "art", log, seconds=(5.0, 4.0, 8.0, 6.0)
        ),
    }
    outcomes = judging.compare(calls, problem, seed=7, repetitions=3)
    warm = [("ours", 7), ("art", 7)]
    turns = [(name, 7 + r) for r in range(3) for name in ("ours", "art")]
    assert log == warm + turns
    assert list(outcomes) == ["robust_jax", "failing", "art"]
    assert outcomes["failing"] == {"error": "KeyError: x"}
    ours, art = outcomes["robust_jax"], outcomes["art"]
    assert (ours["first"], ours["seconds"], art["seconds"]) == (9.0, 2.0, 6.0)
    # Images that the net gets wrong anyway are lost for both.
    assert ours["robust_accuracy"] == Proportion(N - 3, N + WRONG)
    assert art["robust_accuracy"] == Proportion(N - 2, N + WRONG)
    assert art["robust_counts"] == [N - 2] * 3
    assert (ours["only_ours"], ours["only_theirs"]) == (None, None)
    assert (art["only_ours"], art["only_theirs"]) == (3 * 2, 3 * 1)


def _row(library, only_ours=None, only_theirs=None, **more):
    row = {"attack": "PGD-40", "library": library, "only_ours": only_ours}
    return {**row, "only_theirs": only_theirs, **more}


def test_the_verdict_tells_chance_from_weakness():
    rows = [_row("robust_jax"), _row("art", 5, 5), _row("foolbox", 9, 2)]
    assert judging.verdicts(rows) == ["No weaker in 2 of 2 comparisons."]
    rows += [_row("torchattacks", 0, 3), _row("autoattack", 0, 11)]
    rows += [{"attack": "FAB", "library": "art", "error": "no such thing"}]
    sentence, failed = judging.verdicts(rows)
    assert sentence.startswith("No weaker in 2 of 4 comparisons; weaker")
    assert "PGD-40 of torchattacks by 3 (within chance)" in sentence
    assert "PGD-40 of autoattack by 11 (beyond chance)" in sentence
    assert failed == "FAB of art failed: no such thing"


@pytest.fixture
def player(tmp_path):
    path = tmp_path / "python"
    path.write_text(PLAYER.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def _peer(attack):
    return Peer("art", attack, lambda eps: {"eps": eps})


def test_arrays_and_requests_reach_the_process(player):
    images = np.arange(4.0).reshape(1, 2, 2, 1)
    with Libraries(player, {"images": images}) as peers:
        assert (peers.versions, peers.threads) == ({"art": "9"}, 2)
        with pytest.raises(LibraryError, match="AttributeError: Missing"):
            peers.run(_peer("Missing"), 0.5, 0)
        found = peers.run(_peer("FGSM"), 0.5, 3)  # It goes on after an error.
        np.testing.assert_array_equal(found.x_adv, images + 3.5)
        assert found[1:] == (1.5, 3.0, 2.0, None)
        with pytest.raises(ValueError, match=r"early \(out of memory\); run `make p"):
            peers.run(_peer("Crash"), 0.5, 0)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_both_sides_have_the_same_budget(norm):
    chosen = pairs.of_norm(norm)
    assert len({pair.name for pair in chosen}) == len(chosen)
    for pair in chosen:
        libraries = [peer.library for peer in pair.theirs]
        assert len(set(libraries)) == len(libraries) > 0
        calls = pair.stage().attack.steps  # The moves, and up to 3 starts judged.
        for peer in pair.theirs:
            given = peer.arguments(0.5)
            assert json.loads(json.dumps(given)) == given
            moves = [given[name] for name in BUDGETS if name in given]
            assert moves == [] or 0 <= calls - sum(moves) <= 3, (pair.name, peer)
            assert ("eps" in given) != peer.library.startswith("foolbox")
            for step in {"alpha", "eps_step"} & given.keys():
                assert given[step] == pytest.approx(5 * peer.arguments(0.1)[step])


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """How each bad command ended, and what the commands left."""
    folder = tmp_path_factory.mktemp("compare_peers")
    net, shape = models.by_name("mlp", hidden=()), (8, 8, 1)
    weights = models.init(net, jax.random.key(0), shape)
    metadata = {"recipe": {"dataset": "digits"}}
    path = folder / "net.safetensors"
    models.save(path, net, weights, input_shape=shape, metadata=metadata)
    done = command_line.run_all([c.split() for c, _ in BAD], folder)
    assert [p.name for p in folder.iterdir()] == [path.name]
    return dict(zip([c for c, _ in BAD], done, strict=True))


@pytest.mark.parametrize(("command", "words"), BAD, ids=[c for c, _ in BAD])
def test_bad_input_is_one_sentence(ends, command, words):
    end = ends[command]
    assert (end.code, end.out) == (2, ""), end.err
    assert end.err.startswith("error: ") and end.err.count("\n") == 1, end.err
    assert words in end.err, end.err
