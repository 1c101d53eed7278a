"""Runs the tests that a change can break first; `make quick` calls it.

usage: python tools/quick.py [SINCE]

Changed is what differs from the commit SINCE, or from the upstream branch, or from
HEAD, and what git does not know yet. Of a module these are the tests that mirror it and
those of its package that use it, or all of its package where there are none; of an
attack its part of the contract too; of a page all that builds and runs pages. Layers
above are left to `make test`.
"""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).parents[1]
ALWAYS = tuple(
    f"tests/{name}_test.py"
    for name in ("architecture", "doctests", "imports", "public_api")
)
PAGES = ("tests/docs_test.py", "tests/pages_test.py")
CONTRACT = "tests/attacks/contract_test.py"


def main() -> int:
    """The worst exit status of the runs; what they are is printed."""
    changed = changed_files(*sys.argv[1:2])
    runs = [sorted({*ALWAYS, *chosen(ROOT, changed)} - {CONTRACT})]
    if CONTRACT in changed:
        runs[0].append(CONTRACT)
    elif names := attacks_of(ROOT, changed):
        runs.append([CONTRACT, "-k", " or ".join(sorted(names))])
    worst = 0
    for arguments in runs:
        command = [sys.executable, "-m", "pytest", "--quiet", *arguments]
        print("pytest", *arguments, flush=True)
        status = subprocess.run(command, cwd=ROOT).returncode
        worst = max(worst, 0 if status == 5 else status)  # 5: no test has the name.
    return worst


def changed_files(since: str = "") -> list[str]:
    """Paths that differ from `since`, those of no commit included."""
    if not since:
        upstream = _git("merge-base", "HEAD", "@{upstream}", check=False)
        since = upstream[0] if upstream else "HEAD"
    new = _git("ls-files", "--others", "--exclude-standard")
    return [*_git("diff", "--name-only", since, "--"), *new]


def chosen(root: pathlib.Path, changed: Iterable[str]) -> set[str]:
    """The test files and folders of the changed paths."""
    found: set[str] = set()
    for path in map(pathlib.PurePosixPath, changed):
        if path.name.endswith("_test.py"):
            found |= {str(path)} if (root / path).exists() else set()
        elif path.parts[0] == "docs" or path.name in ("README.md", "CONTRIBUTING.md"):
            found |= {test for test in PAGES if (root / test).exists()}
        elif path.suffix == ".py" and path.parts[0] == "tests":
            found |= _users(root, "tests", path)
        elif path.parts[0] in ("robust_jax", "experiments", "tools"):
            top = path.parts[0] == "robust_jax"
            below = pathlib.PurePosixPath(*path.parts[1 if top else 0 :])
            folder = f"tests/{below.parts[0]}"
            mirror = f"tests/{below.parent}/{below.stem}_test.py"
            users = _users(root, folder, path)
            users |= {mirror} if (root / mirror).exists() else set()
            whole = {folder} if (root / folder).is_dir() else set()
            found |= users or whole
    return found


def attacks_of(root: pathlib.Path, changed: Iterable[str]) -> set[str]:
    """The public attacks of the changed modules and of those that import them."""
    package = root / "robust_jax/attacks"
    paths = map(pathlib.PurePosixPath, changed)
    stems = {p.stem for p in paths if p.parts[:2] == ("robust_jax", "attacks")}
    imported = "|".join(map(re.escape, stems)) or "$^"
    given = r"import (\([^)]*?|[^\n(]*?)\b"
    imports = re.compile(rf"from robust_jax\.attacks[\w.]*(\.| {given})({imported})\b")
    catalog = package / "__init__.py"
    listed = set(re.findall(r"\w+", catalog.read_text()))
    found: set[str] = set()
    for file in set(package.rglob("*.py")) - {catalog}:
        if file.stem in stems or imports.search(file.read_text()):
            found |= listed & set(_public(file))
    return found


def _users(root: pathlib.Path, folder: str, path: pathlib.PurePosixPath) -> set[str]:
    """Test files below `folder` that name the module, or a public part of it."""
    names = {path.stem, *(_public(root / path) if path.parts[0] != "tests" else ())}
    owners = path.parts[1:-1] or (path.parent.name,)  # The package, its rooms.
    owner = f"(?:{'|'.join(map(re.escape, owners))})"
    any_name = "|".join(sorted(map(re.escape, names)))
    module = ".".join(path.with_suffix("").parts)
    use = re.compile(
        rf"\b{re.escape(module)}\b|\b{owner}\.({any_name})\b"
        rf"|from [\w.]*\b{owner} import [^)]*?\b{path.stem}\b"
    )
    if path.parts[0] == "experiments":  # Commands in strings.
        use = re.compile(rf"{use.pattern}|[\"'][\w.]*\b{path.stem}\b")
    tests = (root / folder).rglob("*_test.py")
    used = {t.relative_to(root).as_posix() for t in tests if use.search(t.read_text())}
    return used - {CONTRACT}


def _public(path: pathlib.Path) -> Iterable[str]:
    body = ast.parse(path.read_text()).body if path.exists() else []
    kinds = ast.FunctionDef | ast.ClassDef
    named = (node.name for node in body if isinstance(node, kinds))
    return (name for name in named if not name.startswith("_"))


def _git(*arguments: str, check: bool = True) -> list[str]:
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=check)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


if __name__ == "__main__":
    sys.exit(main())
