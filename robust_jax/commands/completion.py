"""What makes a shell complete the commands and their flags.

eval "$(robust-jax completion bash)"     # in ~/.bashrc; zsh in ~/.zshrc
robust-jax completion fish > ~/.config/fish/completions/robust-jax.fish
"""

import importlib
import sys
from collections.abc import Iterable, Mapping

from absl import flags

from robust_jax.core import checks

_PACKAGE = "robust_jax.commands"
_SHELLS = ("bash", "zsh", "fish")
_BASH = """_robust_jax() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    case ${{COMPREPLY[0]}} in *=) compopt -o nospace 2>/dev/null ;; esac
}}
complete -o default -F _robust_jax robust-jax
"""
_ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"


def main(arguments: list[str], commands: Mapping[str, str]) -> None:
    """Prints the script of a shell, or leaves with 2 and a sentence.

    Args:
        arguments: the shell's name alone.
        commands: names with what they are about.
    """
    if {"-h", "--help"} & set(arguments):
        print(__doc__.strip())
        return
    try:
        if len(arguments) != 1:
            raise ValueError(f"expected one of {', '.join(_SHELLS)}; name your shell")
        checks.known_name("shell", arguments[0], _SHELLS)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(script(arguments[0], commands), end="")


def script(shell: str, commands: Mapping[str, str]) -> str:
    """What the shell is to read: bash, zsh or fish."""
    known = {name: _flags(name) for name in commands if name != "completion"}
    if shell == "fish":
        return _fish(commands, known)
    known["completion"] = list(_SHELLS)
    cases = "\n".join(
        f'        {name}) words="{" ".join(words)}" ;;' for name, words in known.items()
    )
    bash = _BASH.format(commands=" ".join(commands), cases=cases)
    return _ZSH + bash if shell == "zsh" else bash


def _fish(commands: Mapping[str, str], known: Mapping[str, Iterable[str]]) -> str:
    lines = ["complete -c robust-jax -f -n __fish_use_subcommand -a help"]
    for name, about in commands.items():
        said = about.replace("'", "\\'")
        lines.append(
            f"complete -c robust-jax -f -n __fish_use_subcommand -a {name} -d '{said}'"
        )
    for name, words in known.items():
        seen = f"'__fish_seen_subcommand_from {name}'"
        lines += [
            f"complete -c robust-jax -n {seen} -l {word.strip('-').rstrip('=')}"
            for word in words
        ]
    return "\n".join(lines) + "\n"


def _flags(name: str) -> list[str]:
    """The flags of a command, with "=" where a value follows.

    Two commands may have a flag of one name: each is imported, and forgotten again.
    """
    before, path = set(flags.FLAGS), f"{_PACKAGE}.{name.replace('-', '_')}"
    try:
        key = flags.FLAGS.get_key_flags_for_module(importlib.import_module(path))
    except ImportError:  # An extra is missing, as the command says.
        key = []
    found = [f"--{flag.name}" if flag.boolean else f"--{flag.name}=" for flag in key]
    for new in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, new)
    for loaded in list(sys.modules):
        if loaded == path or loaded.startswith(f"{_PACKAGE}.shared"):
            del sys.modules[loaded]
    return sorted(set(found))
