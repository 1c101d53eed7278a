"""A module of PyTorch as PyTorch runs it, on copies of what it could change."""

import contextlib
import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from robust_jax.core import checks
from robust_jax.core.extras import needed
from robust_jax.interop import torch_structure
from robust_jax.interop.torch_structure import name_of

_WRAP = "take interop.wrap_torch for a module that has to stay as it is"


@dataclasses.dataclass(frozen=True)
class Original:
    """A module without weights, and its weights on the CPU by name."""

    torch: types.ModuleType
    name: str
    empty: Any
    tensors: Mapping[str, Any]

    @property
    def dtype(self) -> Any:
        """Of the numbers that it takes."""
        floats = (t.dtype for t in self.tensors.values() if t.is_floating_point())
        return next(floats, self.torch.float32)

    def in_double(self) -> "Original":
        """The same in float64."""
        wide = {
            name: t.double() if t.is_floating_point() else t
            for name, t in self.tensors.items()
        }
        return dataclasses.replace(self, tensors=wide)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights as NumPy has them, copies."""
        return {name: array_of(t) for name, t in self.tensors.items()}

    def batch(self, x: np.ndarray) -> Any:
        """A batch as it takes it."""
        return self.torch.from_numpy(np.array(x)).to(self.dtype)

    def answer(self, batch: Any) -> Any:
        """What it gives; of buffers that it writes to, copies are written to."""
        own = {
            name: value if name in self._parameters else value.clone()
            for name, value in self.tensors.items()
        }
        call = self.torch.func.functional_call
        with drawing_apart(self.torch):
            return call(self.empty, own, (batch,), tie_weights=False)

    @property
    def _parameters(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.empty.named_parameters())


def of(module: Any) -> Original:
    """The module as it is now.

    Raises: TypeError: no module. ValueError: one in training mode, with statistics of
        the batch, or without weights. ImportError: PyTorch is missing.
    """
    torch = needed("torch", "torch", "interop.from_torch")
    checks.instance("module", module, torch.nn.Module, "a torch.nn.Module")
    inner = torch_structure.plain(module)
    if isinstance(inner, torch.jit.ScriptModule):
        raise ValueError(
            f"module={name_of(inner)} is a program of torch.jit; expected the module "
            f"that it was made from; {_WRAP}"
        )
    check_mode(inner)
    named = torch_structure.tensors_of(inner)
    for name, tensor in named.items():
        if tensor.device.type == "meta":
            raise ValueError(
                f"module={name_of(inner)} has no numbers in {name!r} (device meta); "
                "load its weights first"
            )
    tensors = {name: tensor.cpu() for name, tensor in named.items()}
    return Original(torch, name_of(inner), torch_structure.skeleton(inner), tensors)


def check_mode(module: Any) -> None:
    """Raises ValueError for a module whose answers are not those of inference."""
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.parameter import is_lazy

    for name, part in module.named_modules():
        where = f"its part {name!r}" if name else "it"
        if part.training:
            raise ValueError(
                f"module={name_of(module)}: {where} is in training mode; call "
                "module.eval() first, as robustness is that of inference"
            )
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise ValueError(
                f"module={name_of(module)}: {where} has no running statistics, so that "
                "an image's answer depends on its batch; expected BatchNorm with "
                "track_running_stats=True"
            )
        if any(map(is_lazy, part._parameters.values())):
            raise ValueError(
                f"module={name_of(module)}: {where} has weights of no shape yet; call "
                "the module once first"
            )


@contextlib.contextmanager
def drawing_apart(torch: Any) -> Iterator[None]:
    """Leaves PyTorch's random numbers on the CPU to their user."""
    with torch.random.fork_rng(devices=[]):
        yield


def array_of(tensor: Any) -> np.ndarray:
    """A tensor as an array of its own; bfloat16 stays what it is."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        import jax.numpy as jnp

        return np.array(tensor.float().numpy(), jnp.bfloat16)
    return np.array(tensor.numpy())


def reason_of(error: Exception) -> str:
    """What somebody's error says, in a line."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return first if len(first) <= 120 else f"{first[:117]}..."


def channels_first(example: Any, layout: Any) -> Any:
    """An example as PyTorch has it, of one in a layout.

    Raises: ValueError: an unknown layout; channels last of what is no image.
    """
    if layout not in ("CHW", "HWC"):
        raise ValueError(f"layout={checks.shown(layout)}; expected 'CHW' or 'HWC'")
    if layout == "CHW":
        return example
    shape = tuple(getattr(example, "shape", ()))
    if len(shape) not in (3, 4):
        raise ValueError(
            f"layout='HWC' with an example of shape {shape}; expected an image "
            "[H, W, C] or a batch of them"
        )
    array = array_of(example) if hasattr(example, "detach") else np.asarray(example)
    return np.moveaxis(array, -1, -3)


def one_example(original: Any, example: Any) -> np.ndarray:
    """One example [*S] of what may be a batch of them.

    Images of rank 3 are tried as one first, all else as the batch that the module
    takes; then the other way round.

    Raises: TypeError, ValueError: what is no array of floats; an example that the
        module does not take, or whose answer is no row of logits.
    """
    given = array_of(example) if hasattr(example, "detach") else np.asarray(example)
    if given.dtype.kind != "f" or given.size == 0:
        raise ValueError(
            f"example={given.dtype} of shape {given.shape}; expected floats, one "
            "example or a batch of them"
        )
    given = given.astype(np.float32)
    readings = [given, given[None]] if given.ndim != 3 else [given[None], given]
    refused: list[ValueError] = []
    for batch in (reading for reading in readings if reading.ndim > 1):
        try:
            check_answer(original, batch)
        except ValueError as error:
            refused.append(error)
        else:
            return batch[0]
    raise refused[0]


def check_answer(original: Any, batch: np.ndarray) -> None:
    """Raises ValueError unless the module gives logits for a batch, [B, K]."""
    torch = original.torch
    try:
        with torch.no_grad():
            answer = original.answer(original.batch(batch))
    except Exception as error:  # Whatever the module raises.
        raise ValueError(
            f"module={original.name} does not take a batch of shape {batch.shape} "
            f"({reason_of(error)}); check the example, or {_WRAP}"
        ) from error
    if not isinstance(answer, torch.Tensor):
        raise ValueError(
            f"module={original.name} gives {type(answer).__name__}; expected a tensor "
            "of logits [B, K]; wrap it in a module that returns those"
        )
    if answer.ndim != 2 or len(answer) != len(batch) or answer.shape[1] < 2:
        raise ValueError(
            f"module={original.name} gives an answer of shape {tuple(answer.shape)} "
            f"for a batch of shape {batch.shape}; expected logits [B, K] of 2 classes "
            "or more"
        )
