"""Where compiled and traced programs are kept between processes (host)."""

import os
import pathlib

import jax
from jax._src import compilation_cache as used_by_jax
from jax._src.compilation_cache_interface import CacheInterface
from jax.experimental.compilation_cache import compilation_cache

from robust_jax.core import exports, records, sealed
from robust_jax.core.records import PathLike


def compile_cache(folder: PathLike) -> None:
    """Keeps programs in a folder, from which later processes load them.

    A first verdict is made of many small programs: all of them are kept (530 take
    6 MB), while JAX by default keeps none that was compiled in less than a second. The
    programs of evaluations are kept as they were traced, too (see `core.exports`), so
    that a later process does not trace the attacks again. Off until this is called; it
    holds for everything that JAX compiles in the process.
    Guarantees: the numbers of a loaded program are those of the one that was kept;
    one of another JAX, XLA, back end or of other options is compiled anew, as one is
    that is damaged, cut or lies under the name of another (JAX by itself would load
    it, or warn at each run); may be
    called at any time, after programs have been compiled too, and again for another
    folder.
    Edge cases: nothing is ever removed from the folder, nor unpickled; its path
    is part of what JAX looks programs up by: a moved folder is filled anew. XLA:CPU
    compiles for the processor at hand: a folder is for one kind of machine.

    Args:
        folder: is made, parents too; a leading ~ is the home directory.
    Raises: ValueError: a folder that cannot be made or written.
    """
    path = records.prepare_out_dir(os.path.expanduser(folder), "compile_cache")
    jax.config.update("jax_compilation_cache_dir", str(path.absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # JAX looks at the folder once, at the first use.
    used_by_jax._cache, used_by_jax._cache_initialized = _Sealed(path), True
    exports.keep_in(path / "traced")


class _Sealed(CacheInterface):
    """JAX's cache in a folder, by its names of files; each has a digest behind."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder

    def get(self, key: str) -> bytes | None:
        return sealed.read(self._path / f"{key}-cache")

    def put(self, key: str, value: bytes) -> None:
        sealed.write(self._path / f"{key}-cache", value)
