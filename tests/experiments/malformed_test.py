"""Malformed command lines, drawn at random: one sentence, exit code 2, nothing left.

A flag of a command that would work gets a value that it cannot have.
"""

import random

import jax
import pytest

from robust_jax import models, train
from tests.experiments import command_line

pytestmark = pytest.mark.xdist_group("experiment errors")
SOME, ALL = 60, 300  # Commands of `make test`, and of `make test-full`.
SECONDS = 20  # A command that takes longer was accepted.

GIVEN = ("--checkpoint=net.safetensors",)
BRIEF = ("--recipes=digits", "--share=0.01", "--seeds=1")
NAMES = ("", "x", "Linf", "linf,l2", "../x", "\u00e9", "0", "None", "a b", "--x")
HUGE = str(10**20)
COUNTS = ("0", "-1", "1.5", "x", "", "nan", "1e3", HUGE, "501")
RADII = ("-1", "x", "", "nan", "inf", "-inf", "9", "1e300", "0.1,0.2", "8/0")
POSITIVE = ("0", "-1", "x", "", "nan", "inf", "1,2")
FLAGS = ("maybe", "2", "x", "None")
SEEDS = ("-1", "4294967296", "1e3", "x", "", HUGE, "0.5")
FILES = ("", "missing", ".", "cut", "/dev/null", "missing/x", "net.safetensors/x")
UNKNOWN = ("--epsilon", "--Norm", "--no_such", "--eps-", "-", "eps", "extra")
SETTINGS = (
    "attack.steps=0", "attack.steps=x", "attack.stepz=1", "model=x", "epochs=nan", ".=",
    "data.batch_size=10000000", "ball.eps=-1", "ball.norm=l3", "descent.rate=nan", "x",
    "=1", "attack=1", "attack.steps", "epochs=0", "data.augment=crop", "weights.give=x",
    "method.beta=x", "model_config.widths=1", "precision=half", "descent.name=x", ".=1",
    "teachers=x", "watch.every=-1", "weights.ema=2", "data.mixture=mixup-x",
)  # fmt: skip
EVERY = {"seed": SEEDS}
OF_NET = {"checkpoint": FILES, "count": COUNTS, "dataset": NAMES[1:], **EVERY}
OF_THREAT = {"eps": RADII, "norm": NAMES}
# A command that would work, and what its flags cannot be.
COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "train": (("--epochs=1",), {
        **EVERY, "recipe": NAMES, "dataset": NAMES, "epochs": COUNTS[:-1], "eps": RADII,
        "set": SETTINGS, "count": (*COUNTS[:-1], "1148", "1"), "data_on": NAMES,
        "save_every": COUNTS[:-1], "keep": COUNTS[:-1], "restart": FLAGS,
        "tensorboard": FLAGS, "print_config": FLAGS,
    }),
    "evaluate": ((*GIVEN, "--eps=0.1", "--plan=basic", "--noaudit"), {
        **OF_NET, **OF_THREAT, "split": NAMES, "plan": (*NAMES, "rand"), "audit": FLAGS,
        "strict": FLAGS, "limit_minutes": POSITIVE, "tile": COUNTS[:-1],
    }),
    "attack": ((*GIVEN, "--steps=1"), {
        **OF_NET, "norm": NAMES, "attack": NAMES, "objective": NAMES, "preset": NAMES,
        "radii": tuple(r for r in RADII if "," not in r), "steps": COUNTS[:-1],
        "relative_step": POSITIVE, "compare": NAMES[1:],
    }),
    "queries": ((*GIVEN, "--eps=0.1", "--attacks=square", "--queries=9"), {
        **OF_NET, **OF_THREAT, "queries": COUNTS[:-1], "attacks": NAMES[1:],
    }),
    "corruptions": ((*GIVEN, "--corruptions=contrast"), {
        **OF_NET, "corruptions": NAMES[1:],
    }),
    "comparisons.compare_attacks": ((*GIVEN, "--eps=0.1", "--attacks=fgsm"), {
        **OF_NET, **OF_THREAT, "few": COUNTS[:-1], "attacks": NAMES[1:],
    }),
    "foreign": ((*GIVEN, "--queries=9"), {
        **OF_NET, "eps": RADII, "victims": NAMES[1:], "queries": COUNTS[:-1],
    }),
    "comparisons.compare_training": (BRIEF, {
        **EVERY, "recipes": NAMES[1:], "seeds": COUNTS[:-1], "norm": NAMES,
        "eps": RADII, "share": POSITIVE, "plan": NAMES, "workers": COUNTS[:-1],
        "count": ("-1", "1.5", "x", "", "501"),
    }),
    "quickstart": (("--epochs=1",), {
        **EVERY, "epochs": COUNTS[:-1], "count": COUNTS, "steps": COUNTS[:-1],
        "restarts": COUNTS[:-1],
    }),
    "comparisons.benchmark": ((), {
        "suite": NAMES, "repetitions": COUNTS[:-1],
    }),
    "studies.properties": (("--study=units",), {
        **EVERY, "study": NAMES, "dataset": NAMES, "frames": FILES[1:], "check": FLAGS,
    }),
    "studies.wordvectors": (("--epochs=1",), {
        **EVERY, "corpus": FILES[1:], "model": NAMES, "objective": NAMES,
        "dim": COUNTS[:-1], "window": COUNTS[:-1], "epochs": COUNTS[:-1],
        "rate": POSITIVE, "negatives": ("-1", "1.5", "x", ""), "groups": COUNTS[:-1],
        "sample": ("-1", "x", "nan", "2"), "min_count": COUNTS[:-1],
    }),
}  # fmt: skip


def drawn(count, seed):
    """Commands, each with one value that cannot be, or an option that is none."""
    rng, commands = random.Random(seed), []
    for _ in range(count):
        name = rng.choice(list(COMMANDS))
        given, varied = COMMANDS[name]
        flag = rng.choice(sorted(varied))
        bad = f"--{flag}={rng.choice(varied[flag])}"
        bad = rng.choice(UNKNOWN[:4]) if rng.random() < 0.1 else bad
        bad = rng.choice(UNKNOWN[4:]) if rng.random() < 0.05 else bad
        kept = [option for option in given if not option.startswith(f"--{flag}=")]
        commands.append([name, *kept, bad])
    return commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("malformed")
    net, path = models.by_name("mlp", hidden=()), made / "net.safetensors"
    recipe = {"recipe": {"dataset": train.recipe("digits").dataset}}
    weights = models.init(net, jax.random.key(0), (8, 8, 1))
    models.save(path, net, weights, input_shape=(8, 8, 1), metadata=recipe)
    (made / "cut").write_bytes(path.read_bytes()[:-100])
    return made


@pytest.mark.parametrize(
    "count", [SOME, pytest.param(ALL, marks=pytest.mark.full)], ids=["some", "all"]
)
def test_malformed_commands_end_in_one_sentence(count, folder):
    wrong, before = [], sorted(folder.rglob("*"))
    for command in drawn(count, seed=count):
        (end,) = command_line.run_all([command], folder, SECONDS)
        is_said = end.err.startswith("error: ") and end.err.count("\n") == 1
        if (end.code, end.out) != (2, "") or not is_said:
            wrong.append(f"{' '.join(command)}\n    {end.code} {end.err[-300:]!r}")
        left = sorted(folder.rglob("*"))
        if left != before:
            wrong.append(f"{' '.join(command)}\n    leaves {left} {end.err!r}")
            before = left
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)
