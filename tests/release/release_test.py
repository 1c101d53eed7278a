"""Wheel and sdist have what they should; the wheel works where only it is installed.

The environments are outside the checkout, and hold no package that the wheel, or an
extra of it, does not ask for.
"""

import ast
import configparser
import json
import pathlib
import re
import shutil
import tarfile
import zipfile
from importlib import metadata

import markdown_it
import numpy as np
import pytest
from packaging.utils import canonicalize_name

from tests.pages_test import SHORTER
from tests.release import environments
from tests.release.environments import ROOT, Environment

CORE_WORK = pathlib.Path(__file__).with_name("core_work.py")
README_TASKS = pathlib.Path(__file__).with_name("readme_tasks.py")
MOST_PACKAGES = 30
# What is asked of an extra where only the core is, and which one the sentence names.
MISSING = {
    "rj.models.names()": "flax",
    "rj.analysis.cka": "flax",
    "rj.interop.from_linen(model, {})": "flax",
    "rj.interop.from_nnx(model)": "flax",
    "rj.interop.load_native({}, input_shape=(8, 8, 1))": "flax",
    "rj.load_model('flax:json:loads', images=images)": "flax",
    "rj.load_model('net.safetensors', images=images)": "flax",
    "rj.train.recipe('pgd_digits')": "train",
    "rj.datasets.load('digits', 'test')": "data",
    "rj.datasets.from_folder(out / 'images')": "data",
    "rj.report.figures.robustness_curves": "plots",
    "rj.report.plots.curves": "plots",
    "rj.report.site([out / 'saved'], out / 'site')": "pages",
    "report.write_images(out / 'pictures')": "plots",
    "rj.interop.from_torch(model, images[0])": "torch",
    "rj.interop.wrap_torch(model, images[0])": "torch",
    "rj.interop.from_onnx('net.onnx')": "onnx",
    "rj.interop.to_onnx(model, images[0], out / 'net.onnx')": "onnx-export",
    "rj.interop.from_equinox(model)": "equinox",
    "rj.interop.from_haiku(model, {})": "haiku",
    "rj.load_model('sklearn:net.skops', images=images)": "skops",
}
NET = "import jax.numpy as jnp\n\ndef net(x):\n    return jnp.stack([x.sum(), 9.0])\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(sdist, wheel); the folder is removed afterwards."""
    folder = tmp_path_factory.mktemp("made")
    yield environments.built(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def core(made, tmp_path_factory):
    """The environment of `pip install robust-jax`."""
    folder = tmp_path_factory.mktemp("core")
    yield Environment(folder / "venv", made[1], environments.wanted(made[1]))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def worked(core, tmp_path_factory):
    """What `core_work.py` measured there."""
    out = tmp_path_factory.mktemp("worked")
    (out / "images" / "one").mkdir(parents=True)
    (out / "images" / "one" / "1.png").touch()
    for name in ("net.onnx", "net.skops", "net.safetensors"):
        (out / name).touch()
    done = core.run(out, "python", "-P", str(CORE_WORK), str(out), *MISSING)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    return {**measured, "stderr": done.stderr, "out": out}


def files_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if ".dist-info/" not in n}


def tracked(*folders):
    """The files of the checkout in some folders that belong into a distribution."""
    found = (file for folder in folders for file in (ROOT / folder).rglob("*"))
    return {
        file.relative_to(ROOT).as_posix()
        for file in found
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_has_the_package_and_nothing_else(made):
    assert files_of(made[1]) == tracked("robust_jax")
    assert "robust_jax/py.typed" in files_of(made[1])


def test_the_sdist_has_tests_and_documentation(made):
    with tarfile.open(made[0]) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert tracked("robust_jax", "experiments", "tests", "docs", "tools") <= names
    assert {"Makefile", "requirements.txt", "CHANGELOG.md"} <= names
    assert not any(re.search(r"__pycache__|\.pyc$|^out/|^\.venv", n) for n in names)


def test_the_metadata_are_those_of_setup_cfg(made):
    written = configparser.ConfigParser()
    written.read(ROOT / "setup.cfg")
    found = environments.metadata_of(made[1])
    assert (found["Name"], found["License"]) == ("robust-jax", "Apache-2.0")
    assert found["Version"] == written["metadata"]["version"]
    assert found["License-File"] == "LICENSE" and found["Requires-Python"] == ">=3.11"
    extras = set(written["options.extras_require"])
    assert set(found.get_all("Provides-Extra")) == extras


def test_what_the_index_shows_has_no_dead_link(made):
    """README as the package index renders it, away from the files that it links."""
    found = environments.metadata_of(made[1])
    assert found["Description-Content-Type"] == "text/markdown"
    shown = markdown_it.MarkdownIt().enable("table").render(found.get_payload())
    assert shown.count("<h1>") == 1 and shown.count("<img ") == 1
    aims = re.findall(r'(?:href|src)="([^"]*)"', shown)
    assert f"{environments.ADDRESS}/raw/v0/docs/examples.png" in aims
    assert f"{environments.ADDRESS}/blob/v0/docs/guide.md" in aims
    assert all(aim.startswith("https://") for aim in aims), aims
    for link in found.get_all("Project-URL"):
        assert link.split(", ")[1].startswith(environments.ADDRESS), link
    kinds = [link.split(", ")[0] for link in found.get_all("Project-URL")]
    assert {"Source", "Issues", "Changelog", "Documentation"} <= set(kinds)


def test_all_has_the_extras_of_users(made):
    """But `onnx-export`, which asks for other versions."""
    known = set(environments.metadata_of(made[1]).get_all("Provides-Extra"))
    written = configparser.ConfigParser()
    written.read(ROOT / "setup.cfg")
    inside = re.search(r"\[(.*)\]", written["options.extras_require"]["all"])[1]
    apart = {"all", "docs", "flax", "onnx-export", "test"}  # `train` has Flax.
    assert set(inside.split(",")) == known - apart


def extras_named():
    """(module, extra) of each call of `needed` in the library, with their files."""
    for path in sorted((ROOT / "robust_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or len(node.args) != 3:
                continue
            if getattr(node.func, "attr", getattr(node.func, "id", "")) == "needed":
                name, extra, _ = node.args
                if isinstance(name, ast.Constant):
                    yield name.value.partition(".")[0], extra.value, path.name


def test_an_extra_that_a_sentence_names_brings_the_package(made):
    owners, calls = environments.owners(), set(extras_named())
    packages = {extra: environments.brought(made[1], extra) for _, extra, _ in calls}
    for module, extra, file in calls - {("robustbench", "torch", "loaders.py")}:
        names = {canonicalize_name(name) for name in owners.get(module, [module])}
        assert names & packages[extra], (module, extra, file)
    assert len(calls) >= 20


def test_the_core_is_small(made):
    assert len(environments.wanted(made[1])) + 1 <= MOST_PACKAGES
    assert not {"flax", "matplotlib", "pillow"} & set(environments.wanted(made[1]))


def test_requirements_that_are_pinned_are_allowed(made):
    pins = dict(
        line.split(";")[0].strip().split("==")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    )
    asked = environments.wanted(made[1], ["data", "train", "plots", "pages"])
    named = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    assert set(asked) <= named, "requirements.txt pins all that make demo runs with"


def test_the_core_attacks_and_evaluates(core, worked):
    site = core.folder.resolve()
    assert pathlib.Path(worked["file"]).resolve().is_relative_to(site)
    assert worked["clean"] == 1 and worked["robust"] == worked["attacked"] == 0
    assert 0.05 < worked["moved"] < 0.1001
    assert (worked["out"] / "saved" / "record.json").exists()


def test_progress_is_shown_there(worked):
    assert "100%" in worked["stderr"]


@pytest.mark.parametrize("asked", MISSING)
def test_a_missing_extra_is_one_sentence(worked, asked):
    said = worked["errors"][asked]
    assert said is not None and "\n" not in said
    assert re.match(r"(ImportError|FileNotFoundError): ", said), said
    assert said.endswith(f"pip install 'robust-jax[{MISSING[asked]}]'"), said


def test_every_public_name_is_there_or_says_its_extra(worked):
    assert worked["unguarded"] == {}


def test_the_command_is_installed(core, tmp_path):
    done = core.run(tmp_path, "robust-jax", "evaluate", "--help")
    assert done.returncode == 0 and "--plan" in done.stdout, done.stderr
    done = core.run(tmp_path, "robust-jax", "--version")
    assert done.stdout.split() == ["robust-jax", core_version(core)]


def core_version(core):
    path = [str(p) for p in core.folder.glob("lib/*/site-packages")]
    (found,) = metadata.distributions(name="robust-jax", path=path)
    return found.version


def test_the_command_evaluates_in_the_core(core, tmp_path):
    (tmp_path / "mynets.py").write_text(NET)
    images = np.random.default_rng(0).uniform(size=(6, 4, 4, 1)).astype(np.float32)
    labels = (images.sum(axis=(1, 2, 3)) < 9).astype(np.int32)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    done = core.run(
        tmp_path, "robust-jax", "evaluate", "--model=python:mynets:net", "--noaudit",
        "--images=own.npz", "--plan=basic", "--eps=0.1", "--out=here",
        PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "here" / "record.json").read_text())
    assert any("robust-jax[plots]" in note for note in record["notes"])
    assert (tmp_path / "here" / "index.html").exists()


def test_a_command_without_its_extra_is_one_sentence(core, tmp_path):
    done = core.run(tmp_path, "robust-jax", "train")
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"error: .*'robust-jax\[flax\]'\n", done.stderr), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_tasks_of_the_readme_run_where_it_is_installed(made, tmp_path):
    """On less data, as in `pages_test.py`; the checkout is not in reach."""
    packages = environments.wanted(made[1], ["data", "train"])
    installed = Environment(tmp_path / "venv", made[1], packages)
    text = (ROOT / "README.md").read_text()
    for old, new in SHORTER["README.md"].items():
        text = text.replace(old, new)
    page = tmp_path / "README.md"
    page.write_text(text)
    done = installed.run(tmp_path, "python", "-P", str(README_TASKS), str(page))
    shutil.rmtree(tmp_path / "venv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nran ") + done.stdout.startswith("ran ") == 6
    assert "found (80, 8, 8, 1)" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith(str(tmp_path / "venv"))
    assert (tmp_path / "out" / "my_net" / "record.json").exists()
