"""`robust-jax NAME`: the commands of the library, one question each.

`python -m experiments.NAME` of a checkout runs the same code.
"""

import importlib
import os
import sys
from importlib import metadata

from absl import flags

from robust_jax.commands import completion
from robust_jax.commands.shared import failures
from robust_jax.core import checks

PROGRAM = "robust-jax"
COMMANDS = {
    "quickstart": "What do adversarial examples do to a net? On digits, in minutes",
    "train": "How robust does a recipe make a net?",
    "attack": "What does one attack do to a model, at one radius or along a curve?",
    "evaluate": "How robust is a model, and is the number to be believed?",
    "queries": "How many queries does a black-box attack need?",
    "corruptions": "How does a net fare under noise, blur, weather and compression?",
    "report": "How do runs compare? A site of their records, to open and to hand on",
    "prepare-data": "Which official files become which data set?",
    "list-attacks": "Which attacks are there, what do they need and what do they cost?",
    "completion": "Prints what makes a shell complete these names and their flags",
}


def main() -> None:
    """The console script."""
    name, *rest = sys.argv[1:] or [""]
    if name in ("", "-h", "--help", "help"):
        print(_overview())
        sys.exit(0 if name else 2)
    if name == "--version":
        print(f"{PROGRAM} {metadata.version('robust_jax')}")
        return
    name = name.replace("_", "-")
    try:
        checks.known_name("command", name, COMMANDS)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if name == "completion":
        completion.main(rest, COMMANDS)
        return
    sys.argv = [f"{PROGRAM} {name}", *rest]
    sys.path.append(os.getcwd())  # Of --model=torch:mynets:Net; shadows nothing there.
    run(name)


def run(name: str) -> None:
    """Runs a command with the arguments of `sys.argv`, and does not return.

    Args:
        name: as in `COMMANDS`.
    """
    with failures.reported():  # What is not installed.
        module = importlib.import_module(
            f"robust_jax.commands.{name.replace('-', '_')}"
        )
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    from robust_jax.commands.shared import common  # Its flags are not of all commands.

    common.run_main(module.main)


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name.ljust(width)}{about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "Adversarial attacks, robust training and honest evaluation in JAX.",
            "",
            f"usage: {PROGRAM} COMMAND [--FLAG=VALUE ...]",
            "",
            *lines,
            "",
            f"`{PROGRAM} COMMAND --help` has its flags, examples and exit codes; "
            f"`{PROGRAM} --version`.",
        ]
    )
