"""Every experiment on the digits, small, as its command line runs it."""

import json

import matplotlib.image
import numpy as np
import pytest

from experiments.studies import words
from robust_jax.core import metrics, records
from tests.experiments import command_line

pytestmark = pytest.mark.xdist_group("experiments")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Runs an experiment with --out; its process and what it wrote."""

    def run(name, *options):
        out = tmp_path_factory.mktemp(name) / "out"
        arguments = [f"--out={out}", *options]
        done = command_line.run([name, *arguments], tmp_path_factory.getbasetemp())
        assert done.code == 0, done.err
        record = json.loads((out / "record.json").read_text(), parse_constant=_refuse)
        _check(name, arguments, record, out)
        return done, record, out

    return run


@pytest.fixture(scope="module")
def checkpoint(command):
    """A net of one epoch, and the run that trained it."""
    options = ["--recipe=digits", "--epochs=1", "--count=1000", "--seed=3"]
    done, record, out = command("train", *options)
    return out / "model.safetensors", done, record


def _refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def _check(name, arguments, record, out):
    """What every run leaves behind."""
    assert set(record) == set(records.Record.__annotations__)
    assert record["schema"] == records.SCHEMA
    assert record["experiment"] == name.rpartition(".")[2]
    words = record["command"].split()
    assert words == ["python", "-m", f"experiments.{name}", *arguments]
    assert record["flags"]["out"] == str(out) and "seed" in record["flags"]
    assert record["environment"]["default_matmul_precision"] == "float32"
    assert record["seconds"] > 0 and record["rows"]
    page = (out / "index.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(_figures(out))
    for path in _figures(out):
        pixels = matplotlib.image.imread(path)
        assert min(pixels.shape[:2]) > 100 and np.ptp(pixels[..., :3]) > 0.5
    assert not list(out.rglob(".*")), "a temporary file is left"


def _figures(out):
    return sorted(out.glob("figures/*.png"))


def _check_proportion(value, n):
    """Counts, share and a 95 % interval, which agree."""
    assert value["n"] == n
    proportion = metrics.Proportion(value["successes"], n)
    assert value["value"] == pytest.approx(proportion.value)
    assert value["interval"] == pytest.approx(list(proportion.interval))


def test_train(checkpoint):
    path, done, record = checkpoint
    assert path.stat().st_size > 10_000
    (row,) = record["rows"]
    assert row["epoch"] == 1 and 0 < row["loss"] < 3
    assert "train accuracy" in done.out and str(path) in done.out
    series = record["series"]
    assert series["recipe"]["epochs"] == 1 and series["recipe"]["dataset"] == "digits"
    assert (series["seed"], series["n"]) == (3, 1000) and series["flops"] > 1e5
    assert [p.name for p in _figures(path.parent)] == ["training.png"]
    lines = (path.parent / "metrics.jsonl").read_text().splitlines()
    (metrics_row,) = map(json.loads, lines)
    assert metrics_row["step"] == 16 and metrics_row["loss"] == row["loss"]
    assert [p.name for p in (path.parent / "checkpoints").iterdir()] == ["16"]


def test_train_shows_its_recipe(tmp_path):
    options = ["--recipe=pgd_digits", "--print_config", "--set", "attack.steps=3"]
    done = command_line.run(["train", *options], tmp_path)
    assert done.code == 0 and not list(tmp_path.iterdir())
    assert "attack.steps=3\n" in done.out and "ball.eps=0.15\n" in done.out


# Two processes start anew, and compile the same.
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.full)])
def test_compare_training(command, workers):
    options = ["--recipes=digits,pgd_digits", "--seeds=1", "--share=0.03", "--count=20"]
    options += [f"--workers={workers}", "--plan=basic"]
    done, record, _ = command("comparisons.compare_training", *options)
    plain, robust = record["rows"]
    assert (plain["recipe"], robust["recipe"]) == ("digits", "pgd_digits")
    assert 2.5 < plain["forwards"] < 3 and 16 < robust["forwards"] < 17
    (only,) = record["series"]["runs"]["pgd_digits"]
    assert only["seed"] == 0 and only["clean"] == robust["clean"]
    assert plain["judged"] == robust["judged"] == "linf 0.15"
    assert robust["gflop"] > 4 * plain["gflop"] and "±" in done.out


def test_evaluate(command, checkpoint):
    options = ["--eps=0.1", "--count=16", "--plan=basic", "--noaudit"]
    done, record, out = command("evaluate", f"--checkpoint={checkpoint[0]}", *options)
    assert len(record["rows"]) >= 4
    accuracies = [v for r in record["rows"] for v in r.values() if isinstance(v, dict)]
    assert len(accuracies) >= 4
    for value in accuracies:
        _check_proportion(value, 16)
    table = done.out.splitlines()
    assert any("pgd-40 ce" in line and "[" in line for line in table)
    assert any("on each device" in line for line in table)
    with np.load(out / "adversarial.npz") as found:
        assert found["x_adv"].shape == (16, 8, 8, 1)
        assert (found["winner"] >= 0).any() and len(set(found["ids"])) == 16
    assert record["series"]["checkpoint"]["seed"] == 3
    assert any("outside the threat" in note for note in record["notes"])
    assert not (out / "journal").exists()
    assert [p.name for p in _figures(out)] == ["examples.png"]


def test_attack(command, checkpoint):
    options = ["--radii=0,0.05,0.3", "--count=16", "--steps=2", "--relative_step=0.6"]
    done, record, out = command("attack", f"--checkpoint={checkpoint[0]}", *options)
    assert [row["eps"] for row in record["rows"]] == [0, 0.05, 0.3]
    for row in record["rows"]:
        assert (row["attack"], row["norm"], row["n"]) == ("pgd", "linf", 16)
        _check_proportion(row["accuracy"], 16)
    kept = [row["accuracy"]["value"] for row in record["rows"]]
    assert kept[0] >= kept[1] >= kept[2] and kept[0] > kept[2]
    assert done.out.count("[") >= 3 and "backwards" in done.out
    assert [p.name for p in _figures(out)] == ["curve.png"]


def test_attack_compares_distances(command, checkpoint):
    options = ["--compare=fmn,deepfool", "--norm=linf", "--count=16"]
    done, record, out = command("attack", f"--checkpoint={checkpoint[0]}", *options)
    rows = {row["attack"]: row for row in record["rows"]}
    assert set(rows) == {"deepfool", "fmn"}
    for row in rows.values():
        assert 0 < row["median"]["low"] <= row["median"]["value"]
        assert (
            0 <= row["optimality"] <= 1 and row["forwards"] + row["backwards"] <= 1000
        )
        _check_proportion(row["success"], row["n"])
    assert max(row["optimality"] for row in rows.values()) > 0.9
    assert len(record["series"]["distances"]["fmn"]) == 16
    assert "median distance" in done.out
    assert [p.name for p in _figures(out)] == ["curves.png"]


def test_queries(command, checkpoint):
    names = ["square", "rays"]
    options = ["--eps=0.2", "--count=8", "--queries=120"]
    options.append(f"--attacks={','.join(names)}")
    done, record, out = command("queries", f"--checkpoint={checkpoint[0]}", *options)
    assert [row["attack"] for row in record["rows"]] == names
    for row in record["rows"]:
        _check_proportion(row["accuracy"], 8)
        assert row["mean"] <= 120
        line = record["series"]["curves"][row["attack"]]
        left = line["robust_accuracy"]
        assert left == sorted(left, reverse=True) and line["queries"][-1] == 120
        assert left[-1] == row["accuracy"]["value"]
    assert "which sees gradients, leaves" in done.out
    assert (out / "figures" / "queries.png").exists()


def test_foreign(command, checkpoint):
    options = ["--eps=0.3", "--count=6", "--queries=40", "--victims=k-NN"]
    done, record, _ = command("foreign", f"--checkpoint={checkpoint[0]}", *options)
    assert len(record["rows"]) == 1 and "The net itself" in done.out
    for row in record["rows"]:
        for kind in ("clean", "noise", "transferred", "rays"):
            _check_proportion(row[kind], 6)
        assert row["rays"]["successes"] <= row["clean"]["successes"]
    assert any(
        row["rays"]["successes"] < row["clean"]["successes"] for row in record["rows"]
    )


def test_corruptions(command, checkpoint):
    options = ["--count=8", "--corruptions=contrast,fog"]
    _, record, out = command("corruptions", f"--checkpoint={checkpoint[0]}", *options)
    assert [row["corruption"] for row in record["rows"]] == ["contrast", "fog"]
    shares = [
        row[f"severity_{s}"]["value"] for row in record["rows"] for s in range(1, 6)
    ]
    assert record["series"]["mean_corruption_accuracy"] == pytest.approx(
        np.mean(shares)
    )
    assert (out / "figures" / "images.png").exists()


def test_compare_attacks(command, checkpoint):
    names = ["fgsm", "apgd_t", "fab_t", "square"]
    options = ["--eps=0.1", "--count=8", "--few=4", f"--attacks={','.join(names)}"]
    done, record, _ = command(
        "comparisons.compare_attacks", f"--checkpoint={checkpoint[0]}", *options
    )
    rows = record["rows"]
    assert [row["attack"] for row in rows] == [*names, "apgd_t + fab_t + square"]
    assert [row["n"] for row in rows] == [8, 8, 8, 4, 4]
    for row in rows:
        _check_proportion(row["accuracy"], row["n"])
    for row in rows[:4]:
        assert row["claims_passed"] and row["forwards"] > 0
        assert (row["backwards"] == 0) == (row["attack"] == "square")
    assert rows[1]["forwards"] > 10 * rows[0]["forwards"]
    assert rows[4]["accuracy"]["successes"] <= rows[3]["accuracy"]["successes"]
    assert "strongest single attack" in done.out and "paper" in done.out


def test_compare_lbfgs(command):
    options = ["--recipe=fc100_100_10", "--dataset=digits", "--epochs=5"]
    _, _, out = command("train", *options)
    few = ["--count=4", "--tile=2", "--repetitions=1"]
    path = out / "model.safetensors"
    done, record, _ = command("comparisons.compare_lbfgs", f"--checkpoint={path}", *few)
    ours, scipys, alike = record["rows"]
    assert (ours["ftol"], alike["ftol"]) == (1e-4, 1e-4) and scipys["ftol"] < 1e-8
    for row in record["rows"]:
        _check_proportion(row["success"], 4)
        assert row["success"]["successes"] == 4 and row["milliseconds"] > 0
        assert abs(row["l2"] / scipys["l2"] - 1) < 0.02
        assert abs(row["rms"] * 8 / row["l2"] - 1) < 1e-6  # Of 64 pixels.
    assert done.out.count("0 flags differ") == 2


@pytest.mark.full  # Nets, plan and audit: by tests beside this.
def test_zoo(command):
    """Honest nets that were accused once."""
    options = ["--plans=basic", "--count=64", "--only=common-part"]
    done, record, _ = command("selfchecks.zoo", *options)
    for row in record["rows"]:
        assert (row["kind"], row["verdict"]) == ("honest", "spared"), row["says"]
        assert 0 < row["reported"] < 1
    assert "honest nets accused: 0 of 2" in done.out


@pytest.mark.full
def test_zoo_of_fakes(command):
    _, record, _ = command("selfchecks.zoo", "--plans=swift", "--only=distraction")
    full, mild = record["rows"]
    assert full["verdict"] == "flagged" and mild["verdict"].startswith("flagged")
    assert full["reported"] >= full["kept"] + 0.05
    assert max(full["share"], mild["share"]) <= 0.25


@pytest.mark.full  # The study on planted nets, and its program: by tests beside this.
def test_properties(command):
    done, record, out = command("studies.properties", "--study=minimal", "--check")
    assert {row["study"] for row in record["rows"]} == {"minimal"}
    assert len(record["rows"]) == 4 and all(row["passed"] for row in record["rows"])
    (table,) = record["series"]["tables"].values()
    assert [row["net"] for row in table][:2] == ["FC10(1e-4)", "FC10(1e-2)"]
    assert table[0]["share"] == 1 and table[0]["over_exact"] > 0.99
    assert "paper's" in done.out and "200 of 200" in done.out
    page = (out / "index.html").read_text()
    assert "Szegedy et al., Table 1" in page and len(_figures(out)) == 3


def test_wordvectors(command, tmp_path):
    read, sections = words.planted_language(4_000, families=1, pairs=6)
    text, questions = tmp_path / "text.txt", tmp_path / "questions.txt"
    text.write_text("\n".join(map(" ".join, read())))
    lines = [f": {sections[0].name}", *map(" ".join, sections[0].questions)]
    questions.write_text("\n".join(lines))
    saved = tmp_path / "vectors.bin"
    options = [f"--corpus={text}", f"--questions={questions}", f"--save={saved}"]
    options += ["--dim=10", "--epochs=3", "--neighbours=w0-0-0"]
    done, record, out = command("studies.wordvectors", *options)
    vectors = words.load(saved, binary=True)
    assert vectors.matrix.shape[1] == 10 and "w0-0-0" in vectors.index
    accuracy = record["series"]["values"]["accuracy"]
    assert words.accuracy(words.answer(vectors, sections)) == accuracy
    assert record["series"]["values"]["answers kept by a rotation"] > 0.98
    other = tmp_path / "other.txt"
    other.write_text(": s\nw x y z\n")
    bad = [
        "studies.wordvectors",
        f"--corpus={text}",
        f"--questions={other}",
        "--out=bad",
    ]
    end = command_line.run(bad, tmp_path)
    assert end.code == 2 and "commonest words answer none" in end.err
    (near,) = record["series"]["tables"]["Nearest words"]
    assert near["nearest"].split()[0] == vectors.nearest("w0-0-0", 1)[0].word
    assert "words per second" in done.out and len(_figures(out)) == 2


def test_list_attacks(command):
    done, record, _ = command("list_attacks")
    assert {"pgd", "apgd_t", "square"} <= {row["attack"] for row in record["rows"]}
    assert "Andriushchenko" in done.out


def test_quickstart(command):
    options = ["--epochs=1", "--count=24", "--steps=5", "--restarts=2"]
    done, record, out = command("quickstart", *options)
    assert {row["model"] for row in record["rows"]} == {"plain", "robust"}
    accuracies = [v for r in record["rows"] for v in r.values() if isinstance(v, dict)]
    assert len(accuracies) >= len(record["rows"])
    for value in accuracies:
        _check_proportion(value, 24)
    kept = {"data", "training", "curves_linf", "curves_l2", "evaluations"}
    assert set(record["series"]) == kept
    for norm in ("linf", "l2"):
        for curve in record["series"][f"curves_{norm}"].values():
            assert curve["eps"][0] == 0 and len(curve["accuracy"]) == 9
            assert curve["accuracy"][-1] <= curve["accuracy"][0]
    names = {path.stem for path in _figures(out)}
    assert {"training", "curves_linf", "curves_l2", "examples_plain"} <= names
    assert "worst case" in done.out
    assert any("audit" in note or "outside" in note for note in record["notes"])


def test_benchmark(command):
    done, record, _ = command(
        "comparisons.benchmark", "--suite=training", "--repetitions=1"
    )
    assert [row["variant"] for row in record["rows"]] == ["hosted", "traced"]
    for row in record["rows"]:
        assert 0 < row["fastest"] <= row["median"] <= row["slowest"]
        assert len(row["all"]) == 1 and row["first"] >= 0
    assert record["rows"][0]["ratio"] == 1 and "median [s]" in done.out
