"""What JAX traced, compiled and loaded from its persistent cache (host)."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import jax

# Names of events in JAX 0.10 and 0.11. The compiler's fires for a loaded program too:
# then a hit has come before it, in the same thread.
_TRACED = "/jax/core/compile/jaxpr_trace_duration"
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_HIT = "/jax/compilation_cache/cache_hits"


@dataclasses.dataclass(frozen=True)
class Compilation:
    """How many programs JAX made, and the seconds that took.

    Every program is traced, lowered to the compiler's language, then compiled or
    loaded; shapes are traced alone. Seconds are summed over threads, so that they may
    exceed the wall time; what is compiled while something is traced counts in both.
    """

    traced: int = 0  # functions, with all that they call
    lowered: int = 0
    compiled: int = 0
    loaded: int = 0  # from the persistent cache
    traced_seconds: float = 0.0
    lowered_seconds: float = 0.0
    compiled_seconds: float = 0.0
    loaded_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """All together."""
        made = self.compiled_seconds + self.loaded_seconds
        return self.traced_seconds + self.lowered_seconds + made

    def to_json(self) -> dict[str, Any]:
        """The mapping that stands for this in a record."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.traced} programs traced ({self.traced_seconds:.1f} s), "
            f"{self.lowered} lowered ({self.lowered_seconds:.1f} s), "
            f"{self.compiled} compiled ({self.compiled_seconds:.1f} s), "
            f"{self.loaded} loaded ({self.loaded_seconds:.1f} s)"
        )


class Recorder:
    """Counts until it is closed; `so_far` may be asked at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = Compilation()

    @property
    def so_far(self) -> Compilation:
        """What has been counted."""
        return self._seen

    def count(self, kind: str, seconds: float) -> None:
        """One more program of a kind, a field of `Compilation`."""
        with self._lock:
            more = {
                kind: getattr(self._seen, kind) + 1,
                f"{kind}_seconds": getattr(self._seen, f"{kind}_seconds") + seconds,
            }
            self._seen = dataclasses.replace(self._seen, **more)


@contextlib.contextmanager
def recorded() -> Iterator[Recorder]:
    """Counts what JAX makes of programs while the block runs, in all threads.

    Guarantees: blocks that are nested or run at once all count; outside of them
    nothing is kept. JAX calls back one pair of listeners per process, which the first
    block registers.
    Edge cases: after `jax.monitoring.clear_event_listeners()` nothing is counted.
    """
    recorder = Recorder()
    _LISTENERS.add(recorder)
    try:
        yield recorder
    finally:
        _LISTENERS.remove(recorder)


class _Listeners:
    """Tells the open recorders of JAX's events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[
            Recorder, ...
        ] = ()  # Replaced whole: events read it unlocked.
        self._registered = False
        self._thread = threading.local()

    def add(self, recorder: Recorder) -> None:
        with self._lock:
            if not self._registered:
                jax.monitoring.register_event_listener(self._on_event)
                jax.monitoring.register_event_time_span_listener(self._on_span)
                self._registered = True
            self._open = (*self._open, recorder)

    def remove(self, recorder: Recorder) -> None:
        with self._lock:
            self._open = tuple(one for one in self._open if one is not recorder)

    def _on_event(self, event: str, **_: Any) -> None:
        if event == _HIT:
            self._thread.hit = True

    def _on_span(
        self, event: str, start_time: float, end_time: float, **_: Any
    ) -> None:
        kind = {_TRACED: "traced", _LOWERED: "lowered", _COMPILED: "compiled"}.get(
            event
        )
        if event == _COMPILED and getattr(self._thread, "hit", False):
            self._thread.hit, kind = False, "loaded"
        if kind is not None:
            for recorder in self._open:
                recorder.count(kind, end_time - start_time)


_LISTENERS = _Listeners()
