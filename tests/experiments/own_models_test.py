"""A user's model and images from the command line alone, in a folder of the user's."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from robust_jax import models
from tests.experiments import command_line

pytestmark = pytest.mark.xdist_group("experiments")
RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(192, 3)).astype(np.float32)
BYTES = RNG.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
CENTRED = BYTES / np.float32(127.5) - 1  # What the net takes.
LABELS = (CENTRED.reshape(8, -1) @ WEIGHTS).argmax(axis=1)
EPS = 0.04
SOURCE = """
import numpy as np

WEIGHTS = np.load("weights.npy")

def net(x):
    return x.reshape(-1) @ WEIGHTS

def first(x):
    return net(x.transpose(1, 2, 0))
"""
MODULE = """
import flax.linen as nn

class Net(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, train: bool = True):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.8)(x)
        return nn.Dense(self.num_classes)(x.reshape((len(x), -1)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("user")
    (made / "ownnets.py").write_text(SOURCE)
    np.save(made / "weights.npy", WEIGHTS)
    np.savez(made / "last.npz", images=CENTRED, labels=LABELS)
    np.savez(made / "first.npz", x=BYTES.transpose(0, 3, 1, 2))
    np.save(made / "labels.npy", LABELS)
    for number, (pixels, label) in enumerate(zip(BYTES, LABELS, strict=True)):
        (made / "photographs" / str(label)).mkdir(parents=True, exist_ok=True)
        path = made / "photographs" / str(label) / f"{number}.png"
        Image.fromarray(pixels).save(path)
    module = models.by_name("mlp", hidden=(), num_classes=3)
    variables = models.init(module, jax.random.key(0), (8, 8, 3))
    variables["params"]["Dense_0"]["kernel"] = 2 * WEIGHTS
    variables["params"]["Dense_0"]["bias"] = -WEIGHTS.sum(axis=0)
    path = made / "net.safetensors"
    models.save(path, module, variables, input_shape=(8, 8, 3))
    return made


def run(folder, name, *options):
    done = command_line.run([name, *options], folder)
    assert done.code == 0, done.err
    return done, json.loads((folder / "out" / name / "record.json").read_text())


CENTRE = ("--model=python:ownnets:net", "--input_range=-1,1")
FIRST = ("--model=python:ownnets:first", "--input_range=-1,1")
SAME = [
    (*CENTRE, "--images=last.npz", "--image_range=-1,1"),
    (*CENTRE, "--images=photographs"),
    (*FIRST, "--images=first.npz", "--labels=labels.npy"),
    ("--model=python:ownnets:net", "--mean=0.5", "--std=0.5", "--images=photographs"),
    ("--checkpoint=net.safetensors", "--images=photographs"),
    ("--model=net.safetensors", "--images=first.npz", "--labels=labels.npy"),
]


def test_the_same_net_and_images_come_in_by_many_ways(folder):
    """One linear net, whose robust accuracy has a closed form."""
    apart = WEIGHTS.T[None] - WEIGHTS.T[LABELS][:, None]  # [8, 3, 192]
    moved = np.clip(BYTES.reshape(8, 1, -1) / 255 + EPS * np.sign(apart), 0, 1)
    lost = ((2 * moved - 1) * apart).sum(axis=2) >= 0
    lost[np.arange(8), LABELS] = False
    held = 8 - int(lost.any(axis=1).sum())
    assert 2 <= held <= 6
    found = []
    for options in SAME:
        done, record = run(folder, "attack", f"--radii=0,{EPS}", *options)
        found.append([row["accuracy"]["successes"] for row in record["rows"]])
        assert record["series"]["models"][0]["source"] in done.out + str(
            record["notes"]
        )
    assert found == [[8, held]] * len(SAME)


@pytest.mark.full  # Its programs, of this net's shapes, take long to compile.
def test_an_evaluation_of_channels_first_images(folder):
    given = (*FIRST, "--images=first.npz", "--labels=labels.npy", "--eps=0.02")
    _, record = run(folder, "evaluate", *given, "--plan=basic", "--noaudit")
    (said,) = record["series"]["models"]
    assert (said["name"], said["layout"]) == ("python:ownnets:first", "CHW")
    assert said["source"] == "python ownnets:first" and said["parity"] is None
    out = folder / "out" / "evaluate"
    assert "python ownnets:first" in (out / "index.html").read_text()
    with np.load(out / "adversarial.npz") as made:
        assert made["x_adv"].shape == (8, 3, 8, 8)
    assert (out / "figures" / "examples.png").exists()


def test_corruptions_of_channels_first_images(folder):
    given = ("--corruptions=contrast", "--images=first.npz", "--labels=labels.npy")
    _, record = run(folder, "corruptions", *FIRST, *given)
    _, other = run(
        folder, "corruptions", *CENTRE, "--corruptions=contrast", "--images=photographs"
    )
    assert record["rows"][0]["mean"] == other["rows"][0]["mean"]


def test_a_module_of_a_users_is_trained_on_a_users_images(folder):
    (folder / "ownmodule.py").write_text(MODULE)
    images = RNG.random((300, 3, 4, 4), dtype=np.float32)
    labels = RNG.integers(0, 2, 300)
    images[:, 0] = (images[:, 0] + labels[:, None, None]) / 2  # The red channel tells.
    np.savez(folder / "many.npz", x=images, y=labels)
    given = ("--module=ownmodule:Net", "--images=many.npz", "--recipe=digits")
    given += ("--epochs=40", "--set=data.batch_size=30", "--set=descent.rate=0.01")
    _, record = run(folder, "train", *given)
    assert record["series"]["n"] == 270  # A tenth is for validation.
    assert record["rows"][-1]["validation_accuracy"] > 0.7
    asked = ["attack", "--checkpoint=out/train/model.safetensors", "--radii=0"]
    refused = command_line.run([*asked, "--images=many.npz"], folder)
    assert refused.code == 2 and "allow_factory" in refused.err
    _, record = run(folder, *asked, "--images=many.npz", "--allow_factory")
    assert record["rows"][0]["accuracy"]["value"] > 0.7
    # Other code, whose weights would fit, is another net: that run does not go on.
    run(folder, "train", *given)
    (folder / "ownmodule.py").write_text(MODULE.replace("nn.Batch", "2 * nn.Batch"))
    refused = command_line.run(["train", *given], folder)
    assert refused.code == 2 and "program of the module" in refused.err
