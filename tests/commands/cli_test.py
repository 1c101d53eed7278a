"""The console script: what it lists, runs and refuses; what shells complete."""

import configparser
import json
import pathlib
import subprocess
import sys

import pytest

from robust_jax.commands import cli
from robust_jax.core import factory_names

ROOT = pathlib.Path(__file__).parents[2]
NAMES = sorted(set(cli.COMMANDS) - {"completion"})
SHELLS = ("bash", "zsh", "fish")
# As the script that pip writes, but for many commands in one process.
SAYS = f"""
import contextlib, io, json, sys
from robust_jax.commands import cli, completion

told = {{s: completion.script(s, cli.COMMANDS) for s in {SHELLS}}}
print(json.dumps(told))
"""


def ended(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """How `robust-jax ARGUMENTS` ends, without running a command."""
    monkeypatch.setattr(sys, "argv", ["robust-jax", *arguments])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SAYS], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0)])
def test_the_overview_has_every_command(monkeypatch, capsys, arguments, code):
    ends, out, _ = ended(monkeypatch, capsys, *arguments)
    assert ends == code
    assert all(f"\n  {name} " in out for name in cli.COMMANDS)


def test_the_version_is_the_packages(monkeypatch, capsys):
    written = configparser.ConfigParser()
    written.read(ROOT / "setup.cfg")
    expected = f"robust-jax {written['metadata']['version']}\n"
    assert ended(monkeypatch, capsys, "--version") == (0, expected, "")


def test_an_unknown_command_names_the_nearest(monkeypatch, capsys):
    code, out, err = ended(monkeypatch, capsys, "evalute", "--eps=0.1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: unknown command 'evalute'; did you mean 'evaluate'?")


def test_a_net_of_the_working_directory_is_found(monkeypatch, capsys, tmp_path):
    (tmp_path / "net_of_this_folder.py").write_text("def make():\n    return 7\n")
    (tmp_path / "json.py").write_text("raise RuntimeError")  # Hides no library.
    monkeypatch.chdir(tmp_path)
    scripts_folder = pathlib.Path(sys.executable).parent  # As Python starts a script.
    monkeypatch.setattr(sys, "path", [str(scripts_folder), *filter(None, sys.path)])
    monkeypatch.delitem(sys.modules, "json")
    found = []
    monkeypatch.setattr(
        cli,
        "run",
        lambda name: found.extend(
            factory_names.named_function(spec, "model")
            for spec in ("net_of_this_folder:make", "json:dumps")
        ),
    )
    assert ended(monkeypatch, capsys, "evaluate")[0] == 0
    assert found[0]() == 7 and found[1]([7]) == "[7]"


def test_completion_says_how_it_is_used(monkeypatch, capsys):
    code, out, err = ended(monkeypatch, capsys, "completion", "--help")
    assert (code, err) == (0, "") and 'eval "$(robust-jax completion bash)"' in out


@pytest.mark.parametrize("arguments", [(), ("tcsh",), ("bash", "zsh")])
def test_a_shell_that_is_not_known(monkeypatch, capsys, arguments):
    code, out, err = ended(monkeypatch, capsys, "completion", *arguments)
    assert (code, out) == (2, "") and "fish" in err and err.count("\n") == 1


def test_every_command_is_a_module_and_an_experiment():
    for name in NAMES:
        module = name.replace("-", "_")
        assert (ROOT / f"robust_jax/commands/{module}.py").exists()
        assert f'cli.run("{name}")' in (ROOT / f"experiments/{module}.py").read_text()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_the_flags_of_each_command(scripts, shell):
    script = scripts[shell]
    for name, flag in [("train", "recipe"), ("evaluate", "plan"), ("attack", "radii")]:
        lines = [line for line in script.splitlines() if name in line]
        assert any(flag in line for line in lines), name
    of_attack = [line for line in script.splitlines() if "attack)" in line]
    assert not any("--recipe" in line for line in of_attack)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eval"], ["evaluate"]),
        (["evaluate", "--ep"], ["--eps="]),
        (["train", "--restar"], ["--restart"]),
        (["list-attacks", "--eps"], []),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes(scripts, words, expected):
    line = " ".join(f"'{word}'" for word in ["robust-jax", *words])
    ask = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _robust_jax; "
    ask += "printf '%s\\n' \"${COMPREPLY[@]}\""
    done = subprocess.run(
        ["bash", "-c", scripts["bash"] + ask], capture_output=True, text=True
    )
    assert done.stdout.split() == expected, done.stderr
