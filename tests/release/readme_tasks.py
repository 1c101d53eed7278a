"""The blocks of a README, one after another, where the library is installed.

usage: python -P readme_tasks.py README.md
Tells of each block how long it took, and at last which library it was.
"""

import pathlib
import re
import sys
import time


def main(page: pathlib.Path) -> None:
    """Runs them with the same names."""
    names, write = {}, sys.stdout.write
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        start = time.perf_counter()
        exec(block, names)
        write(f"ran {block.splitlines()[0]}: {time.perf_counter() - start:.0f} s\n")
    wrong = (names["report"].clean == 0).sum()
    write(f"clean errors {wrong}, found {names['found'].x_adv.shape}\n")
    write(f"{names['rj'].__file__}\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
