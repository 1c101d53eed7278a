import numpy as np
import pytest

from robust_jax.core.compilation import Compilation
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate.claims import Claims
from robust_jax.evaluate.report import Report
from robust_jax.evaluate.results import StageResult
from robust_jax.report import read

N = 10
NOBODY = np.zeros(0, np.int64)
CLEAN = np.arange(N) != 4
# Example 4 is wrong from the start; fgsm breaks 0 and 1, pgd 2.
FGSM = np.isin(np.arange(N), [0, 1, 4])
PGD = np.isin(np.arange(N), [0, 1, 2, 4])
WINNER = np.array([0, 0, 1, -1, -2, -1, -1, -1, -1, -1])


def stage(name, broken, forwards, backwards, seconds, **changes):
    """The cost of a stage, all of it spent on example 3."""
    on_one = np.eye(N, dtype=np.int64)[3]
    ledgers = forwards * on_one, backwards * on_one, 2 * forwards * on_one, 0 * on_one
    return StageResult(name, broken, *ledgers, seconds=seconds, **changes)


def report(**changes):
    fields = {
        "model": "plain",
        "threat": "linf eps=0.1",
        "clean": CLEAN,
        "stages": (
            stage("fgsm", FGSM, 25, 16, 0.5),
            stage("pgd-40", PGD, 1_200, 1_190, 2.25),
        ),
        "x_adv": np.random.default_rng(0).uniform(size=(N, 2, 3)).astype(np.float32),
        "winner": WINNER,
        "ids": np.arange(N, dtype=np.uint64) + np.uint64(2**63),
        "claims": Claims(3, NOBODY, NOBODY, 0, NOBODY, -1e-9, 0.0),
        "seed": 17,
        "tile": 64,
    }
    return Report(**{**fields, **changes})


def test_accuracies_count_the_right_examples():
    assert report().clean_accuracy == Proportion(9, N)
    assert [s.accuracy for s in report().stages] == [Proportion(7, N), Proportion(6, N)]
    assert report().robust_accuracy == Proportion(6, N)


def test_rows():
    common = {"model": "plain", "threat": "linf eps=0.1", "n": N}
    assert report().rows() == [
        {**common, "attack": "none", "accuracy": Proportion(9, N), "forwards": N,
         "backwards": 0, "seconds": None},
        {**common, "attack": "fgsm", "accuracy": Proportion(7, N), "forwards": 25,
         "backwards": 16, "seconds": 0.5},
        {**common, "attack": "pgd-40", "accuracy": Proportion(6, N),
         "forwards": 1_200, "backwards": 1_190, "seconds": 2.25},
        {**common, "attack": "worst case", "accuracy": Proportion(6, N),
         "forwards": 1_235, "backwards": 1_206, "seconds": 2.75},
    ]  # fmt: skip


def test_the_text_has_each_number_with_its_interval():
    lines = str(report()).splitlines()
    assert len(lines) == 2 + 4 + 2  # Heading and rule, rows, audit and citation.
    for accuracy, line in zip((9, 7, 6, 6), lines[2:6], strict=True):
        assert str(Proportion(accuracy, N)) in line
    assert "worst case" in lines[5] and "1,235" in lines[5] and "2.8" in lines[5]
    assert lines[6].startswith("claims: 3 adversarial examples: 0 outside")
    assert lines[7] == report().citation()


def test_the_citation_says_what_the_number_is():
    assert report().citation() == (
        "cite as: robust accuracy 60.0 % [31.3, 83.2] (95 % Wilson interval, n = 10) "
        "under linf eps=0.1, worst case over fgsm, pgd-40; seed 17"
    )


@pytest.mark.parametrize("unfinished", [0, 5])
def test_what_is_refuted_bounds_nothing(unfinished):
    """Examples that count as broken and hold make the number too low."""
    stages = (*report().stages[:1], stage("pgd", PGD, 1, 1, 0, unfinished=unfinished))
    at_most = "robust accuracy is at most 60.0 % [31.3, 83.2] (n = 10) under linf"
    assert (at_most in report(stages=stages).citation()) == bool(unfinished)
    for false in ({"outside": np.array([1])}, {"unconfirmed": np.array([0])}):
        claims = report().claims._replace(**false)
        cited = report(claims=claims, stages=stages).citation()
        assert cited.startswith("not to be cited")
        assert "at most" not in cited
        assert "60.0 % [31.3, 83.2] (n = 10) under linf eps=0.1 bounds nothing" in cited


def test_saved_files_read_back_equal(tmp_path):
    folder = report().save(tmp_path / "new" / "folder")
    assert folder == tmp_path / "new" / "folder"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["adversarial.npz", "index.html", "record.json"]
    with np.load(folder / "adversarial.npz") as arrays:
        costs = {"useful_forwards", "useful_backwards"}
        assert set(arrays) == {"clean", "ids", "winner", "x_adv"} | costs
        assert arrays["useful_forwards"].shape == (2, N)
        for name in ("clean", "ids", "winner", "x_adv"):
            array, ours = arrays[name], getattr(report(), name)
            assert array.dtype == ours.dtype
            np.testing.assert_array_equal(array, ours)
    record = read(folder)
    assert [row["attack"] for row in record["rows"]] == [
        "none", "fgsm", "pgd-40", "worst case",
    ]  # fmt: skip
    robust = record["rows"][-1]["accuracy"]
    assert (robust["successes"], robust["n"]) == (6, N)
    np.testing.assert_allclose(robust["interval"], Proportion(6, N).interval)
    kept = record["series"]["evaluation"]
    assert kept["citation"] == report().citation() == record["notes"][0]
    assert (kept["seed"], kept["tile"]) == (17, 64)
    assert kept["rows"] == record["rows"]
    assert (record["experiment"], record["title"]) == (
        "evaluate",
        "Robustness of plain",
    )
    assert record["summary"] == (
        "n = 10, linf eps=0.1: clean accuracy 90.0 % [59.6, 98.2], robust accuracy "
        "60.0 % [31.3, 83.2]."
    )
    assert record["seconds"] == 2.75
    assert record["environment"]["jax"] and record["environment"]["backend"]


def test_the_record_names_what_the_audit_found(tmp_path):
    found = Claims(3, np.array([1]), np.array([0, 2]), 1, np.array([2]), 0.5, 1e-3)
    folder = report(claims=found).save(tmp_path)
    kept = read(folder)["series"]["evaluation"]["claims"]
    assert kept.pop("summary") == str(found)
    expected = {"passed": False, "outside": [1], "unconfirmed": [0, 2]}
    assert kept == {**expected, "not_finite": [2]}


def test_where_a_file_is_in_the_way_one_sentence_says_so(tmp_path):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(ValueError, match=r"^out=.*found a file .*choose another"):
            report().save(out)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_failure_half_way_leaves_the_old_files(tmp_path):
    report().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="expected data that JSON can hold"):
        report(seed=object(), x_adv=report().x_adv).save(tmp_path)
    broken = np.array([object(), lambda: None])  # Fails in the middle of the archive.
    with pytest.raises(Exception, match="pickle"):
        report(seed=18, ids=broken).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_record_tells_what_was_compiled():
    made = Compilation(traced=7, compiled=2, compiled_seconds=1.5)
    told = report(compilation=made, seconds_to_first_step=2.25)
    kept = told.to_json()
    assert kept["compilation"]["compiled"] == 2 and kept["compilation"]["traced"] == 7
    assert kept["seconds_to_first_step"] == 2.25
    assert told.start_up() == f"{made}; first step after 2.2 s"
    assert report().to_json()["compilation"] is None
    assert report().start_up() == "programs not counted; no attack step"
