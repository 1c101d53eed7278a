"""The layer rule, the purity of the pure packages and the sizes, read off the source.

Each rule is a function of (path, source), so that a bad source in a string can show
that it fires.
"""

import ast
import pathlib
from collections.abc import Callable, Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LAYERS = {
    "core": 0,
    "threats": 1,
    "losses": 1,
    "models": 1,
    "datasets": 1,
    "report": 1,
    "optim": 2,
    "interop": 2,
    "attacks": 3,
    "evaluate": 5,
    "train": 6,
    "analysis": 7,
    "commands": 8,
}
PURE = {"core", "threats", "losses", "optim", "attacks"}
HOST_MODULES = {
    f"robust_jax/core/{name}.py"
    for name in (
        "caching",
        "compilation",
        "exports",
        "ids",
        "locks",
        "metrics",
        "records",
        "room",
        "sealed",
    )
}
JIT_MODULE = "robust_jax/core/compiling.py"  # The only pure module that compiles.
HOST_ONLY_IMPORTS = {
    "absl",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
}
CONTAINERS = {"Counter", "OrderedDict", "defaultdict", "deque", "dict", "list", "set"}
MUTATORS = {
    "add",
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "setdefault",
    "update",
}
MODULE_LINES = {"robust_jax": 300, "experiments": 150, "tests": 400}
FUNCTION_LINES = 40

Rule = Callable[[str, str], list[str]]


def layer_violations(path: str, source: str) -> list[str]:
    """Imports that the layer rule forbids, lazy ones inside functions too."""
    parts = pathlib.PurePosixPath(path).with_suffix("").parts
    if parts[0] != "robust_jax" or len(parts) < 3:
        return []  # Experiments may import all; the root module, see below.
    package, found = parts[1], []
    for line, module in imported_modules(path, ast.parse(source)):
        root, _, rest = module.partition(".")
        other = rest.partition(".")[0]
        if root in ("experiments", "tests"):
            found.append(f"{path}:{line}: the library imports {root}")
        elif root == "robust_jax" and not other:
            found.append(f"{path}:{line}: imports robust_jax whole, which hides layers")
        elif root == "robust_jax" and other not in (package, *lower_than(package)):
            found.append(f"{path}:{line}: {package} imports {other}, not a lower layer")
    return found


def purity_violations(path: str, source: str) -> list[str]:
    """I/O, flags, NumPy randomness, jit and global state in a pure module."""
    parts = pathlib.PurePosixPath(path).parts
    if parts[0] != "robust_jax" or parts[1] not in PURE or path in HOST_MODULES:
        return []
    tree = ast.parse(source)
    found = [*impure_imports(path, tree), *impure_names(tree), *global_state(tree)]
    if path == JIT_MODULE:
        found = [(line, what) for line, what in found if what != "jit"]
    return [f"{path}:{line}: {what} in a pure module" for line, what in found]


def size_violations(path: str, source: str) -> list[str]:
    """Modules over the line limit, functions over 40 lines of code."""
    lines, limit = source.splitlines(), MODULE_LINES[path.partition("/")[0]]
    found = []
    if len(lines) > limit:
        found.append(f"{path}: {len(lines)} lines; at most {limit}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = code_lines(node, lines)
            if count > FUNCTION_LINES:
                where = f"{path}:{node.lineno}: {node.name}"
                found.append(f"{where} has {count} lines; at most {FUNCTION_LINES}")
    return found


def lower_than(package: str) -> set[str]:
    return {name for name, layer in LAYERS.items() if layer < LAYERS[package]}


def imported_modules(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that is imported; `from a import b` gives a.b."""
    parents = pathlib.PurePosixPath(path).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and name_of(node.func) in (
            "__import__",
            "import_module",
        ):
            named = node.args[0] if node.args else None
            if isinstance(named, ast.Constant):
                yield node.lineno, str(named.value)


def name_of(node: ast.AST) -> str:
    """The last part of a name: `jit` of `jit` and of `jax.jit`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def impure_imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, module in imported_modules(path, tree):
        if module.partition(".")[0] in HOST_ONLY_IMPORTS:
            yield line, f"import of {module}"
        elif module.startswith("numpy.random"):
            yield line, "NumPy randomness"
        elif module.startswith("jax.") and module.endswith("jit"):
            yield line, "jit"


def impure_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = name_of(node.value)
            if node.attr in ("jit", "pjit"):
                yield node.lineno, "jit"
            elif owner in ("np", "numpy") and node.attr == "random":
                yield node.lineno, "NumPy randomness"
        elif isinstance(node, ast.Name) and node.id in ("open", "print", "input"):
            yield node.lineno, node.id


def global_state(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """`global`, a module's container that starts empty, and one that is changed."""
    containers = set()
    for statement in tree.body:
        value = getattr(statement, "value", None)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and is_container(value):
            if is_empty(value):
                yield statement.lineno, "a container that waits to be filled"
            single = isinstance(statement, ast.AnnAssign)
            targets = [statement.target] if single else statement.targets
            containers |= {name_of(target) for target in targets}
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield node.lineno, "global"
        elif changed_container(node) in containers:
            yield node.lineno, f"a change of {changed_container(node)}"


def is_container(node: ast.AST | None) -> bool:
    kinds = ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp
    called = isinstance(node, ast.Call) and name_of(node.func) in CONTAINERS
    return called or isinstance(node, kinds)


def is_empty(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Call):  # dict(), defaultdict(list)
        return all(name_of(argument) in CONTAINERS for argument in node.args)
    return getattr(node, "elts", None) == [] or getattr(node, "keys", None) == []


def changed_container(node: ast.AST) -> str | None:
    """The name that is changed in place by `x[i] = `, `del x[i]` or `x.append()`."""
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return name_of(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return name_of(node.func.value) if node.func.attr in MUTATORS else None
    return None


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]):
    """Lines of the body that hold code: no docstring, blank line or comment."""
    body = function.body[ast.get_docstring(function) is not None :]
    if not body:
        return 0
    text = (line.strip() for line in lines[body[0].lineno - 1 : function.end_lineno])
    return sum(bool(line) and not line.startswith("#") for line in text)


def sources() -> Iterator[tuple[str, str]]:
    for tree in MODULE_LINES:
        for file in sorted((ROOT / tree).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), file.read_text()


@pytest.mark.parametrize("rule", [layer_violations, purity_violations, size_violations])
def test_the_tree_obeys(rule: Rule):
    assert [line for path, source in sources() for line in rule(path, source)] == []


def test_the_table_names_the_packages_that_exist():
    folders = {file.parent.name for file in ROOT.glob("robust_jax/*/__init__.py")}
    assert folders == set(LAYERS)


def test_the_root_module_imports_no_package_when_it_is_loaded():
    tree = ast.parse((ROOT / "robust_jax/__init__.py").read_text())
    loaded = [
        node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    modules = imported_modules("robust_jax/__init__.py", ast.Module(loaded, []))
    assert {name.partition(".")[0] for _, name in modules} == {
        "importlib",
        "typing",
    }


ATTACK, LOSS = "robust_jax/attacks/bad.py", "robust_jax/losses/bad.py"
LONG_FUNCTION = "def f():\n    '''Doc.'''\n\n    # why\n" + "    x = 1\n" * 41
LONG_CLOSURE = "def f():\n    def g():\n" + "        x = 1\n" * 40
BAD = [
    (layer_violations, LOSS, "from robust_jax.attacks import pgd"),
    (layer_violations, LOSS, "import robust_jax.threats.ball"),  # the same layer
    (layer_violations, LOSS, "from robust_jax import models"),
    (layer_violations, LOSS, "def f():\n    from robust_jax import evaluate"),
    (layer_violations, LOSS, "from ..train import loop"),
    (layer_violations, LOSS, "from .. import train"),
    (layer_violations, LOSS, "importlib.import_module('robust_jax.train')"),
    (layer_violations, LOSS, "from robust_jax import unheard_of"),
    (layer_violations, ATTACK, "import robust_jax as rj"),
    (layer_violations, ATTACK, "from experiments import quickstart"),
    (layer_violations, ATTACK, "import tests.reference"),
    (purity_violations, ATTACK, "open('x')"),
    (purity_violations, ATTACK, "def f():\n    print(1)"),
    (purity_violations, ATTACK, "from absl import flags"),
    (purity_violations, ATTACK, "from absl import logging"),
    (purity_violations, ATTACK, "import os.path"),
    (purity_violations, ATTACK, "import numpy.random"),
    (purity_violations, ATTACK, "from numpy import random"),
    (purity_violations, ATTACK, "x = np.random.default_rng(0)"),
    (purity_violations, ATTACK, "@jax.jit\ndef f(x): ..."),
    (purity_violations, ATTACK, "from jax import jit"),
    (
        purity_violations,
        ATTACK,
        "@functools.partial(jax.jit, static_argnums=0)\ndef f(): ...",
    ),
    (purity_violations, "robust_jax/core/compiling.py", "print(jax.jit(f))"),
    (purity_violations, ATTACK, "def f():\n    global x"),
    (purity_violations, ATTACK, "_SEEN = {}"),
    (purity_violations, ATTACK, "_SEEN: dict[str, int] = dict()"),
    (purity_violations, ATTACK, "_SEEN = collections.defaultdict(list)"),
    (purity_violations, ATTACK, "_A = {'a': 1}\ndef f():\n    _A['b'] = 2"),
    (purity_violations, ATTACK, "_A = [1]\ndef f():\n    _A.append(2)"),
    (size_violations, ATTACK, "x = 1\n" * 301),
    (size_violations, "experiments/bad.py", "x = 1\n" * 151),
    (size_violations, ATTACK, LONG_FUNCTION),
    (size_violations, ATTACK, LONG_CLOSURE),
]
GOOD = [
    (layer_violations, ATTACK, "from robust_jax.losses import objectives"),
    (layer_violations, ATTACK, "from robust_jax import threats"),
    (layer_violations, ATTACK, "from robust_jax.attacks import projected"),
    (layer_violations, ATTACK, "from . import projected"),
    (layer_violations, ATTACK, "from ..core import margin"),
    (layer_violations, "experiments/good.py", "import robust_jax as rj"),
    (purity_violations, "robust_jax/core/compiling.py", "step = jax.jit(f)"),
    (purity_violations, "robust_jax/core/records.py", "open('x')"),
    (purity_violations, "robust_jax/report/pages.py", "open('x')"),
    (purity_violations, ATTACK, "__all__ = ['f']\n_TABLE = {'a': 1}\nx = _TABLE['a']"),
    (purity_violations, ATTACK, "key = jax.random.key(0)\nx = np.arange(3)"),
    (size_violations, ATTACK, LONG_FUNCTION.replace("    x = 1\n", "", 1)),
]


@pytest.mark.parametrize(("rule", "path", "source"), BAD)
def test_a_rule_fires(rule: Rule, path: str, source: str):
    assert len(rule(path, source)) == 1


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_a_rule_lets_pass(rule: Rule, path: str, source: str):
    assert rule(path, source) == []
