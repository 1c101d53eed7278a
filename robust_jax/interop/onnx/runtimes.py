"""What others compute of an ONNX model: onnxruntime, or the package's own evaluator."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUIET = 4  # What fails is raised, too.


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Something that computes a model.

    Args:
        name: of it.
        run: a batch to the model's outputs.
    """

    name: str
    run: Callable[[NDArray[Any]], list[NDArray[Any]]]

    def asked(self, batch: NDArray[Any], one_by_one: bool) -> list[NDArray[Any]]:
        """The outputs of a batch, of a model that may take one example at a time."""
        if not one_by_one:
            return self.run(batch)
        single = [self.run(x[None]) for x in batch]
        return [np.concatenate(parts) for parts in zip(*single, strict=True)]


def of(model: Any, names: list[str] | None = None) -> Runtime:
    """What computes a model: onnxruntime, if it is there and takes the model.

    Args:
        model: a `ModelProto` with all its data.
        names: of values that are wanted in place of its outputs.
    """
    import onnx.reference

    if names is not None:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        model = copy
    if importlib.util.find_spec("onnxruntime") is not None:
        try:
            return in_onnxruntime(model)
        except Exception:  # It has no kernel for some types, such as 64 bits.
            pass
    evaluator = onnx.reference.ReferenceEvaluator(model)
    given = evaluator.input_names[0]
    return Runtime(
        "onnx's reference evaluator", lambda batch: evaluator.run(None, {given: batch})
    )


def in_onnxruntime(model: Any) -> Runtime:
    """A model in onnxruntime, which raises errors of its own kinds."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        enable_fallback=0,  # To the same one, of which it prints.
    )
    given = session.get_inputs()[0].name
    return Runtime("onnxruntime", lambda batch: session.run(None, {given: batch}))
