"""How programs are compiled: the one pure module that calls `jax.jit`."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jaxlib

_NO_JIT = "jax_disable_jit"
_PARTITIONABLE = "jax_threefry_partitionable"
_DRAWS = ("random_bits", "random_split")  # That differ by the kind of threefry.
# Whether the user's own draws are those of partitionable threefry.
_partitionable = contextvars.ContextVar("partitionable", default=True)


@functools.cache
def compiler_options() -> dict[str, Any]:
    """XLA options for the present back end, as `jax.jit` takes them; {} off CPU.

    On CPU, without YNN fusion ten PGD steps on SmallCNN took 0.35 of the time that
    they take with XLA's defaults (`experiments.comparisons.benchmark --suite=peers`);
    on the smaller nets it made little difference.
    An XLA that does not know the option raises, which a trial compilation finds out.
    """
    if jax.default_backend() != "cpu":
        return {}
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return options


def compiled(
    function: Callable[..., Any], *, brief: bool = False, **kwargs: Any
) -> Any:
    """`jax.jit` with the library's compiler options for the present back end.

    Args:
        function: what to compile.
        brief: whether to leave out optimisation, for what computes little: on CPU that
            takes a third of the time, and rounds as code without fused operations.
        kwargs: of `jax.jit`.
    """
    options = compiler_options()
    if brief and options:
        options = {**options, "xla_backend_optimization_level": 0}
        if jaxlib.version.__version_info__ < (0, 11):  # From then on it ends a process.
            options["xla_cpu_use_fusion_emitters"] = False  # Nor MLIR's passes.
    return jax.jit(function, compiler_options=options, **kwargs)


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """What the library itself computes under, whatever JAX is configured to; on a host.

    Integers and Python's numbers are mixed with floats; transfers between host and
    device are meant; -inf is a margin; draws are those of partitionable threefry, as by
    JAX's default; keys are folded in again and again. Precision, 64-bit numbers, ranks
    and the search for NaN are the user's to choose.
    """
    theirs = _partitionable.get() and getattr(jax.config, _PARTITIONABLE)
    token = _partitionable.set(theirs)
    try:
        with (
            jax.numpy_dtype_promotion("standard"),
            jax.transfer_guard("allow"),
            jax.debug_infs(False),
            jax.threefry_partitionable(True),
            jax.debug_key_reuse(False),
        ):
            yield
    finally:
        _partitionable.reset(token)


def check_draws(names: Iterable[str]) -> None:
    """Raises ValueError for a model that would draw other numbers in `own_settings`.

    Args:
        names: of the primitives of its program.
    """
    if not _partitionable.get() and any(name in _DRAWS for name in names):
        raise ValueError(
            f"{_PARTITIONABLE}=False, and the model draws random numbers, "
            "which here would be others; expected True, JAX's default; set it by "
            "jax.config.update before the model is made"
        )


def check_jit(what: str) -> None:
    """Raises ValueError where nothing is to be compiled.

    Args:
        what: is compiled ahead of time.
    """
    if getattr(jax.config, _NO_JIT):
        raise ValueError(
            f"{_NO_JIT}=True; expected False for {what}, whose programs are "
            "compiled ahead of time; look into a model with drive.hosted on a few "
            "images instead"
        )
