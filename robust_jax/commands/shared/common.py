"""What every experiment's command line shares: errors, flags, data."""

from __future__ import annotations

import contextlib
import logging as python_logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import numpy as np
from absl import app, flags, logging

from robust_jax import datasets, report
from robust_jax.commands.shared import failures, helping
from robust_jax.core import caching, checks
from robust_jax.datasets.types import Dataset
from robust_jax.evaluate.bars import EvaluationBar as EvaluationBar

if TYPE_CHECKING:  # Needs Flax, as models of Python do not.
    from robust_jax import models

OUT = flags.DEFINE_string(
    "out", None, "Directory for record, page and figures; default out/EXPERIMENT."
)
SEED = flags.DEFINE_integer("seed", 0, "Of weights, order, starts.", 0, 2**32 - 1)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Directory of prepared data sets (robust-jax prepare-data); default "
    "$TFDS_DATA_DIR, else ~/tensorflow_datasets. The digits need none.",
)
COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache",
    None,
    "Directory of compiled programs, for later runs; empty for none; default "
    "$JAX_COMPILATION_CACHE_DIR, else ~/.cache/robust_jax ($XDG_CACHE_HOME counts).",
)


def run_main(main: Callable[[list[str]], None]) -> None:
    """Runs an experiment; what stops it is reported, see `failures.reported`."""
    module = sys.modules[main.__module__]
    app.run(
        lambda argv: _guarded(main, argv),
        flags_parser=lambda argv: _parse(argv, module),
    )


def program() -> str:
    """How the command was called, without its flags."""
    spec = sys.modules["__main__"].__spec__
    if spec is None or not spec.name.startswith("experiments."):
        return sys.argv[0]  # As `commands.cli` has set it.
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _guarded(main: Callable[[list[str]], None], argv: list[str]) -> None:
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(None)  # Plain lines: the message alone.
    # Of libraries only warnings: Orbax tells dozens of lines about a checkpoint.
    logging.get_absl_handler().addFilter(
        lambda r: r.levelno > python_logging.INFO or "site-packages" not in r.pathname
    )
    # TF32 and bfloat16 products would decide flags near the border on accelerators.
    jax.config.update("jax_default_matmul_precision", "float32")
    with failures.reported():
        _keep_compiled_programs()
        takes = getattr(sys.modules[main.__module__], "TAKES", None)
        if len(argv) > 1 and takes is None:
            raise ValueError(f"unexpected argument {argv[1]!r}; options start with --")
        main(argv)


def _keep_compiled_programs() -> None:
    """As --compile_cache says; a home that cannot be written is no user's error."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    default = os.environ.get("JAX_COMPILATION_CACHE_DIR") or f"{caches}/robust_jax"
    if COMPILE_CACHE.value:
        caching.compile_cache(COMPILE_CACHE.value)
    elif COMPILE_CACHE.value == "":  # JAX itself reads the variable.
        jax.config.update("jax_compilation_cache_dir", None)
    else:
        with contextlib.suppress(ValueError):
            caching.compile_cache(default)


def _parse(argv: Sequence[str], module: ModuleType) -> list[str]:
    flags.FLAGS.set_default("verbosity", logging.INFO)
    if {"-h", "-help", "--help", "--helpshort"} & set(argv[1:]):
        print(helping.text(module, program()))
        sys.exit(0)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {_said(error)}", file=sys.stderr)
        sys.exit(2)
    except SystemExit:  # --help was given; absl leaves with 1.
        sys.exit(0)


def _said(error: flags.Error) -> str:
    said = " ".join(str(error).split())
    missing = re.match(r"flag --(\w+)=None: .* must have a value", said)
    return f"--{missing[1]} is missing; pass --{missing[1]}=VALUE" if missing else said


counted: Callable[..., report.Progress[None]] = report.progress  # Of a total of items.


def load(name: str, split: str, count: int | None = None) -> Dataset:
    """A split of a data set, or its first `count` examples.

    Raises: ValueError: an unknown name, or more examples than there are.
        FileNotFoundError: a data set that is not prepared.
    """
    dataset = datasets.load(name, split, DATA_DIR.value)
    return dataset if count is None else first(dataset, count)


def first(dataset: Dataset, count: int) -> Dataset:
    """The first `count` examples.

    Raises: ValueError: more than there are.
    """
    checks.positive_integer("count", count)
    if count > len(dataset):
        raise ValueError(
            f"count={count}; {described(dataset)} has {len(dataset)} examples"
        )
    return dataset.take(np.arange(count))


def described(dataset: Dataset) -> str:
    """A data set's name, and its split if it is one."""
    return f"{dataset.name} {dataset.split}".rstrip()


def load_for(
    checkpoint: models.Checkpoint, name: str | None, split: str, count: int | None
) -> Dataset:
    """As `load`; without a name, the data set that the net was trained on.

    Raises: ValueError: no name is known, or the images do not fit the net.
    """
    recipe = checkpoint.metadata.get("recipe")  # Whatever its writer remembered.
    name = name or (recipe.get("dataset") if isinstance(recipe, dict) else None)
    if name is None:
        raise ValueError(
            "dataset=None, and the checkpoint does not name the one it was trained on; "
            "pass --dataset"
        )
    data = load(name, split, count)
    if data.images.shape[1:] != checkpoint.input_shape:
        raise ValueError(
            f"dataset={name} has images of shape {data.images.shape[1:]}; the "
            f"checkpoint's net takes {checkpoint.input_shape}; choose another one"
        )
    return data
