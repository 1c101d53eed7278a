"""What `--help` of a command prints: what it does, then its flags in groups."""

import re
import shutil
import sys
import textwrap
from types import ModuleType
from typing import Any

from absl import flags

_LEFT = 26  # Columns of a flag; its help begins on the next line if it is longer.
_WIDTHS = (60, 100)  # Least and greatest, of the text.
_GROUPS = {  # By the module that defines a group's flags.
    "subjects": "The model",
    "images": "The images",
    "adversary": "The adversary",
    "metrics": "Measured on the way",
    "resuming": "Stopping and going on",
    "distributed": "Several processes",
    "pages": "A page of the documentation",
    "common": "The run",
}
_EXIT_CODES = (
    "Exit codes: 0 done; 2 bad input, or no room to write; 3 the result contradicts "
    "itself, such as an adversarial example that is none; 130 Ctrl-C; 141 the reader "
    "of the output has left; 143 SIGTERM."
)


def text(module: ModuleType, program: str, width: int | None = None) -> str:
    """The help of a command's module, called by the name of `program`.

    Args:
        module: of the command, with its key flags.
        program: such as "robust-jax evaluate", which stands in the examples.
        width: of a line; by default the terminal's.
    """
    if width is None:
        width = shutil.get_terminal_size().columns
    width = min(max(width, _WIDTHS[0]), _WIDTHS[1])
    own = module.__name__.rpartition(".")[2]
    called = f"robust-jax {own.replace('_', '-')}"
    about = (module.__doc__ or "").strip()
    lines = [about.replace(called, program)]
    for title, group in _grouped(module).items():
        lines += ["", f"{title}:", *(_flag(flag, width) for flag in group)]
    lines += ["", textwrap.fill(_EXIT_CODES, width)]
    return "\n".join(lines)


def _grouped(module: ModuleType) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"Options": []}
    for title in _GROUPS.values():
        found[title] = []
    for flag in flags.FLAGS.get_key_flags_for_module(_name(module)):
        where = str(flags.FLAGS.find_module_defining_flag(flag.name))
        title = _GROUPS.get(where.rpartition(".")[2], "Options")
        found[title].append(flag)
    return {title: group for title, group in found.items() if group}


def _name(module: ModuleType) -> str:
    return sys.argv[0] if module.__name__ == "__main__" else module.__name__


def _flag(flag: Any, width: int) -> str:
    left = f"  --{_usage(flag)}"
    about = re.sub(r"^<[^>]*>: |;\s+repeat this option to .*", "", flag.help)
    about = " ".join(about.split())
    is_said = "default" in about.lower() or about.startswith("Alias")
    if flag.default not in (None, "", []) and not (flag.boolean or is_said):
        about += f" [{flag.default_as_str.strip(chr(39))}]"
    indent = " " * _LEFT
    wrapped = textwrap.wrap(about, width - _LEFT) or [""]
    if len(left) < _LEFT:
        return "\n".join(
            [left.ljust(_LEFT) + wrapped[0], *map(indent.__add__, wrapped[1:])]
        )
    return "\n".join([left, *map(indent.__add__, wrapped)])


def _usage(flag: Any) -> str:
    if flag.boolean:
        return f"[no]{flag.name}"
    kind = flag.flag_type()
    if "enum" in kind:
        return f"{flag.name}={'|'.join(flag.parser.enum_values)}"
    values = {"int": "N", "float": "X", "comma separated list of strings": "A,B,..."}
    return f"{flag.name}={values.get(kind, 'TEXT')}"
