"""Bad input: exit code 2, one sentence, no file written. And `--help`."""

import jax
import numpy as np
import pytest

from robust_jax import models, train
from robust_jax.core import locks
from tests.experiments import command_line

pytestmark = pytest.mark.xdist_group("experiment errors")
NAMES = (
    "attack",
    "comparisons.benchmark",
    "comparisons.compare_attacks",
    "comparisons.compare_autoattack",
    "comparisons.compare_distances",
    "comparisons.compare_peers",
    "comparisons.compare_queries",
    "comparisons.compare_training",
    "corruptions",
    "evaluate",
    "selfchecks.faults",
    "foreign",
    "list_attacks",
    "prepare_data",
    "studies.properties",
    "queries",
    "quickstart",
    "train",
    "studies.wordvectors",
)
GIVEN = "--checkpoint=net.safetensors"
OWN = "evaluate --eps=0.1 --images=own.npz"

# (command, what the sentence must hold)
BAD = [
    ("train --recipe=pgd_digit", "did you mean 'pgd_digits'"),
    ("train --dataset=minst", "mnist"),
    ("train --eps=-0.1", "eps=-0.1; expected a finite radius >= 0"),
    ("train --eps=nan", "eps=nan; expected a finite radius"),
    ("train --eps=8", "eps=8 exceeds the width 1 of the"),
    ("train --epochs=0", "epochs=0; expected an integer >= 1"),
    ("train --epochs=three", "epochs"),
    ("train --set attack.stepz=3", "did you mean 'steps'"),
    ("train --set attack.steps", "set='attack.steps'; expected PART.FIELD=VALUE"),
    ("train --set attack.steps=many", "attack.steps='many'; expected an integer"),
    ("train --set method.beta=2", "adversarial has no such number"),
    ("train --save_every=0", "save_every=0; expected an integer >= 1"),
    ("evaluate", "error: --eps is missing; pass --eps=VALUE"),
    ("report", "runs=[]; expected folders of runs"),
    ("report nowhere --watch", "runs=nowhere; expected a run on its way"),
    ("report nowhere", "runs=['nowhere']; expected folders of runs"),
    ("report a b --watch", "expected one of them with --watch"),
    (f"evaluate {GIVEN} --eps=0.1 --tensorboard", "tensorboard=True needs"),
    ("train --tensorboard", "tensorboard=True needs tensorboardX"),
    ("train --coordinator=127.0.0.1:9", "processes=None with --coordinator"),
    ("comparisons.compare_training --seeds=0", "seeds=0; expected an integer >= 1"),
    (
        "comparisons.compare_training --norm=l2",
        "norm=l2 without a radius; pass --eps too",
    ),
    ("comparisons.compare_training --recipes=pgd_digit", "did you mean 'pgd_digits'"),
    ("train --count=100000", "digits train has 1147 examples"),
    ("train --count=0", "count=0; expected an integer >= 1"),
    ("train --seed=-1", "seed"),
    ("train --seed=4294967296", "seed"),
    (f"evaluate {GIVEN} --eps=0.1 --seed=100000000000000000000", "seed"),
    ("train --set data.batch_size=100000000", "with 1,147 training examples"),
    ("train --set model=resnet34", "unknown model 'resnet34'"),
    ("train --module=resnet", "module='resnet'; expected package.module:name"),
    ("train --module=math:sqrt", "module=math:sqrt; called with config={} it fails"),
    ("train --images=own.npz --dataset=digits", "images=own.npz and dataset=digits"),
    ("train --images=own.npz", "own.npz are too few, or too alike, to train and"),
    ("train --epoch=3 --learningrate=1", "Unknown command line flag"),
    ("train pgd_digits", "unexpected argument 'pgd_digits'; options start with --"),
    ("train --dataset=mnist --data_dir=nowhere", "robust-jax prepare-data"),
    (f"evaluate {GIVEN}", "eps"),
    (f"evaluate {GIVEN} --eps=-1", "eps=-1; expected a finite radius >= 0"),
    (f"evaluate {GIVEN} --eps=nan", "eps=nan; expected a finite radius"),
    (f"evaluate {GIVEN} --eps=8", "eps=8 exceeds the width 1 of the"),
    (
        f"evaluate {GIVEN} --eps=0.1 --norm=l3",
        "known: l0, l1, l2, linf, patch",
    ),
    (f"evaluate {GIVEN} --eps=0.1 --plan=stadard", "did you mean 'standard'"),
    (f"evaluate {GIVEN} --eps=3 --norm=l0", "attacks that L0 and patches lack"),
    (f"evaluate {GIVEN} --eps=0.1 --limit_minutes=0", "limit_minutes=0.0; expected"),
    (f"evaluate {GIVEN} --eps=0.1 --dataset=minst", "did you mean 'mnist'"),
    (f"evaluate {GIVEN} --eps=0.1 --split=tset", "split"),
    (f"evaluate {GIVEN} --eps=0.1 --count=501", "digits test has 500 examples"),
    (f"evaluate {GIVEN} --eps=0.1 --out=busy", "out=busy is in use by another run"),
    (f"attack {GIVEN} --out=busy", "out=busy is in use by another run; wait"),
    ("evaluate --eps=0.1 --checkpoint=missing", "missing"),
    ("evaluate --eps=0.1 --checkpoint=cut", "cut short"),
    ("evaluate --eps=0.1 --checkpoint=foreign", "written by models.save"),
    ("evaluate --eps=0.1 --checkpoint=nameless", "does not name the one"),
    ("evaluate --eps=0.1 --checkpoint=large", "the checkpoint's net takes (9, 8, 1)"),
    (f"queries {GIVEN} --eps=0.1 --norm=l3", "did you mean"),
    (f"evaluate {GIVEN} --eps=3 --norm=patch", "attacks that L0 and patches lack"),
    (f"evaluate {GIVEN} --eps=0.5 --norm=l0 --plan=basic", "eps=0.5 with l0; expected"),
    (f"evaluate {GIVEN} --eps=99 --norm=patch --plan=basic", "exceeds the sides 8 and"),
    (f"evaluate {GIVEN} --eps=65 --norm=l0 --plan=basic", "exceeds the 64 numbers"),
    (f"evaluate {GIVEN} --eps=0.1 --plan=rand", "plan=rand is for random nets"),
    (f"queries {GIVEN} --eps=9 --norm=l2", "whose L2 diameter is 8"),
    (f"queries {GIVEN} --eps=0.1 --queries=0", "queries=0; expected an integer >= 1"),
    (f"queries {GIVEN} --eps=0.1 --attacks=pgd", "attack without gradients"),
    (f"queries {GIVEN} --eps=0.1 --attacks=spsa --queries=99", "at least 514"),
    (f"corruptions {GIVEN} --corruptions=fogg", "did you mean 'fog'"),
    (f"foreign {GIVEN} --eps=-1", "eps=-1; expected a finite radius >= 0"),
    (f"foreign {GIVEN} --victims=knn", "unknown victim 'knn'"),
    (f"foreign {GIVEN} --queries=1", "queries=1; expected at least 2"),
    ("comparisons.compare_queries --norm=l1", "unknown norm 'l1'"),
    (
        "comparisons.compare_queries --norm=l2 --queries=9",
        "queries=9; expected an integer >= 300",
    ),
    (f"{OWN} {GIVEN} --dataset=digits", "images=own.npz and dataset=digits; expected"),
    (f"{OWN} {GIVEN} --image_range=0,x", "image_range=0,x; expected numbers"),
    (f"{OWN} {GIVEN} --image_range=1,0", "(1.0, 0.0); expected two numbers, the lower"),
    (f"{OWN} {GIVEN} --image_range=2,9", "from 0 to 0.5, outside image_range=2,9"),
    (f"{OWN} {GIVEN} --labels=z", "own.npz has no array z; it has x, y"),
    (f"{OWN} {GIVEN} --count=4", "count=4; own.npz has 3 examples"),
    (f"{OWN} {GIVEN} --weights=w.npz", "with model=net.safetensors, which holds its"),
    (f"{OWN} {GIVEN} --mean=0.5", "a checkpoint, which has its normalisation inside"),
    (f"{OWN} --model=large", "(8, 8, 1); the checkpoint's net takes (9, 8, 1); choose"),
    (f"{OWN} --model=keras:net", "unknown kind 'keras'; expected FILE.safetensors"),
    (f"{OWN} --model=python:math:sqrt", "the model fails on a float32 input of shape"),
    (f"{OWN} --model=python:math:pi", "pi is 3.14"),
    (
        f"{OWN} --model=python:mynets:net",
        "no module mynets is found; run the command in",
    ),
    (f"{OWN} --model=onnx:absent", "absent"),
    (
        f"{OWN} --model=python:jax.nn:relu --std=0",
        "std=(0.0,); expected finite numbers",
    ),
    (f"corruptions --images=none.npz {GIVEN}", "images=none.npz: no such file"),
    (
        f"queries --images=cut --eps=0.1 {GIVEN}",
        "images=cut cannot be read (another kind",
    ),
    (
        f"attack --images=busy {GIVEN}",
        "images=busy has no sub-folders; expected one per",
    ),
    (f"attack --images=busy --labels=y {GIVEN}", "images=busy is a folder, which says"),
    (f"attack --layout=CHW {GIVEN}", "layout=CHW is of --images, which is not given"),
    (
        f"foreign --images=own.npz {GIVEN}",
        "own.npz has no splits; expected a .npz with",
    ),
    ("attack --model=python:jax.nn:relu", "images=None and dataset=None; pass one of"),
    ("attack --checkpoint=missing", "missing"),
    ("attack --checkpoint=cut", "cut short"),
    (f"attack {GIVEN} --attack=pgb", "did you mean 'pgd'"),
    (f"attack {GIVEN} --norm=linff", "did you mean 'linf'"),
    (f"attack {GIVEN} --objective=ce", "cross_entropy"),
    (f"attack {GIVEN} --radii=0,x", "radii=0,x; expected numbers"),
    (f"attack {GIVEN} --radii=", "radii=; expected numbers"),
    (f"evaluate {GIVEN} --eps=8/0", "'8/0'; expected a number, such as 0.03 or 8/255"),
    (f"evaluate {GIVEN} --eps=8/", "--eps=8/: '8/'; expected a number"),
    (f"attack {GIVEN} --radii=0.1,-1", "eps=-1; expected a finite radius"),
    (f"attack {GIVEN} --radii=8", "eps=8 exceeds the width 1 of the"),
    (f"attack {GIVEN} --steps=0", "steps=0; expected an integer >= 1"),
    (f"attack {GIVEN} --relative_step=nan", "relative_step=nan; expected a finite"),
    (f"attack {GIVEN} --attack=fgsm --steps=3", "--steps does not apply to fgsm"),
    (f"attack {GIVEN} --attack=fab --norm=l0", "fab is for linf, l2, l1"),
    (
        f"comparisons.compare_attacks {GIVEN} --eps=0.1 --attacks=pgd,fap",
        "did you mean 'fab'",
    ),
    (
        f"comparisons.compare_attacks {GIVEN} --eps=8",
        "eps=8 exceeds the width 1 of the",
    ),
    (f"attack {GIVEN} --count=501", "digits test has 500 examples"),
    ("quickstart --steps=0", "steps=0; expected an integer >= 1"),
    ("quickstart --restarts=0", "restarts=0; expected an integer >= 1"),
    ("quickstart --count=501", "digits test has 500 examples"),
    ("quickstart --epochs=0", "epochs=0; expected an integer >= 1"),
    ("studies.properties --study=minimum", "minimal"),
    ("studies.properties --dataset=cifar10", "digits"),
    (
        "studies.properties --dataset=mnist --data_dir=nowhere",
        "robust-jax prepare-data",
    ),
    ("studies.wordvectors --corpus=nowhere", "questions=None with corpus=nowhere"),
    ("studies.wordvectors --corpus=nowhere --questions=cut", "nowhere: no such file"),
    ("studies.wordvectors --dim=0", "size=0; expected an integer >= 1"),
    ("studies.wordvectors --sample=2", "sample=2.0; expected 0 <= sample < 1"),
    ("studies.wordvectors --model=glove", "skipgram"),
    ("studies.wordvectors --peer_python=none", "peer_python needs a text file"),
    ("studies.wordvectors --save=nowhere/vectors", "save=nowhere/vectors"),
    ("studies.properties --frames=nowhere", "nowhere: expected a directory of frames"),
    (
        "studies.properties --frames=foreign",
        "(100,); expected bytes or floats of shape",
    ),
    ("studies.properties --frames=cut", "cut: no array; expected a .npy"),
    ("comparisons.benchmark --suite=driver", "drivers"),
    (
        "comparisons.benchmark --suite=peers --peers_python=none",
        "run `make peers` first",
    ),
    (
        "comparisons.benchmark --repetitions=0",
        "repetitions=0; expected an integer >= 1",
    ),
    ("comparisons.benchmark --suite=first_verdict --nets=mpl", "did you mean 'mlp'"),
    (
        "comparisons.benchmark --suite=first_verdict --plans=swift+all",
        "a plan's name, or name+aud",
    ),
    (
        "comparisons.benchmark --suite=first_verdict --plans=",
        "plans=; expected one name or more",
    ),
    (
        "comparisons.benchmark --suite=first_verdict --plans=swft",
        "did you mean 'swift'",
    ),
    (
        "comparisons.benchmark --compile_cache=foreign",
        "compile_cache=foreign; expected a directory",
    ),
]
# The directory is tried after all cheaper checks, and before any work.
OUT_IN_THE_WAY = [
    "train --out=foreign",
    f"evaluate {GIVEN} --eps=0.1 --out=foreign/inside",
    f"attack {GIVEN} --out=foreign",
    "quickstart --out=foreign",
    "studies.properties --out=foreign",
    "studies.wordvectors --out=foreign",
    "comparisons.benchmark --out=foreign",
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """How each command ended, and what it left in the directory."""
    folder = tmp_path_factory.mktemp("errors")
    recipe = train.recipe("digits")
    net, checkpoint = models.by_name("mlp", hidden=()), folder / "net.safetensors"
    metadata = {"recipe": {"dataset": recipe.dataset}}
    for path, side, remembered in (
        (checkpoint, 8, metadata),
        (folder / "nameless", 8, {}),
        (folder / "large", 9, metadata),
    ):
        shape = (side, 8, 1)
        weights = models.init(net, jax.random.key(0), shape)
        models.save(path, net, weights, input_shape=shape, metadata=remembered)
    images = np.linspace(0, 0.5, 192, dtype=np.float32).reshape(3, 8, 8, 1)
    np.savez(folder / "own.npz", x=images, y=np.arange(3))
    (folder / "cut").write_bytes(checkpoint.read_bytes()[:-100])
    np.save(folder / "foreign.npy", np.zeros(100))
    (folder / "foreign.npy").rename(folder / "foreign")
    (folder / "busy").mkdir()
    lock = locks.Lock(folder / "busy", "out")  # As another run holds it.
    before = _content(folder)
    commands = [command for command, _ in BAD] + OUT_IN_THE_WAY
    ends = command_line.run_all([c.split() for c in commands], folder, seconds=30)
    helps = command_line.run_all([[name, "--help"] for name in NAMES], folder)
    after = _content(folder)
    assert before == {k: v for k, v in after.items() if k in before}
    lock.release()
    yield {
        "ends": dict(zip(commands, ends, strict=True)),
        "helps": dict(zip(NAMES, helps, strict=True)),
        "left": sorted(after.keys() - before.keys()),
    }


def _content(folder):
    files = sorted(folder.rglob("*"))
    return {p.relative_to(folder): p.is_file() and p.read_bytes() for p in files}


@pytest.mark.parametrize(("command", "words"), BAD, ids=[c for c, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_code_2(outcomes, command, words):
    end = outcomes["ends"][command]
    assert (end.code, end.out) == (2, ""), end.err
    assert end.err.startswith("error: ") and end.err.count("\n") == 1, end.err
    assert words in end.err, end.err


@pytest.mark.parametrize("command", OUT_IN_THE_WAY)
def test_a_file_in_place_of_the_out_directory(outcomes, command):
    end = outcomes["ends"][command]
    assert (end.code, end.out) == (2, ""), end.err
    assert end.err.startswith("error: out=foreign"), end.err
    assert "expected a directory" in end.err and end.err.count("\n") == 1


def test_bad_input_leaves_nothing_behind(outcomes):
    assert outcomes["left"] == []


@pytest.mark.parametrize("name", NAMES)
def test_help_lists_every_option(outcomes, name):
    end = outcomes["helps"][name]
    assert end.code == 0 and end.err == ""
    for option in ("--out", "--seed", "--data_dir") * (name != "prepare_data"):
        assert option in end.out
    if name in ("train", "evaluate", "attack"):
        assert "pixel units of [0, 1]" in " ".join(end.out.split())
