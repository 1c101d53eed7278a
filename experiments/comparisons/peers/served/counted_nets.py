"""The two-conv MNIST net, counting the images that pass it in either direction."""

from typing import Any

import jax
import numpy as np
import torch
from torch import nn

import torch_layers
from serving import Problem


class CountedNet(nn.Module):
    """The net in PyTorch."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.mean = _per_channel(problem, "mean")
        self.std = _per_channel(problem, "std")
        height, width = (side // 4 for side in problem["images"].shape[1:3])
        self.layers = nn.Sequential(
            torch_layers.conv(problem, "Conv_0", stride=2, padding=1),
            nn.ReLU(),
            torch_layers.conv(problem, "Conv_1", stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            torch_layers.dense(problem, "Dense_0", (height, width)),
            nn.ReLU(),
            torch_layers.dense(problem, "Dense_1"),
        )
        self.forwards = self.backwards = 0
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of images [B, C, H, W]; further channels are ignored."""
        self.forwards += len(x)
        # Some attacks are written for three channels: their images repeat the one; some
        # of ART compute in doubles.
        x = x[:, : self.mean.shape[1]].float()
        logits = self.layers((x - self.mean) / self.std)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, grad: torch.Tensor) -> None:
        self.backwards += len(grad)


class CountedFunction:
    """The same net for foolbox's JAX mode; the net itself is compiled."""

    def __init__(self, problem: Problem) -> None:
        weights = {k: jax.numpy.asarray(v) for k, v in problem.items() if "/" in k}
        mean, std = problem["mean"], problem["std"]

        def logits(x):
            x = (x - mean) / std
            for i in range(2):
                x = jax.lax.conv_general_dilated(
                    x,
                    weights[f"Conv_{i}/kernel"],
                    window_strides=(2, 2),
                    padding=((1, 1), (1, 1)),
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
                x = jax.nn.relu(x + weights[f"Conv_{i}/bias"])
            x = x.reshape(len(x), -1) @ weights["Dense_0/kernel"]
            x = jax.nn.relu(x + weights["Dense_0/bias"])
            return x @ weights["Dense_1/kernel"] + weights["Dense_1/bias"]

        self._logits = jax.jit(logits)
        self._traced = jax.core.Tracer
        self.forwards = self.backwards = 0

    def __call__(self, x: Any) -> Any:
        """Logits [B, K] of images [B, H, W, C]."""
        self.forwards += len(x)
        if isinstance(x, self._traced):  # Called to be differentiated.
            self.backwards += len(x)
        return self._logits(x)


def _per_channel(problem: Problem, name: str) -> torch.Tensor:
    values = np.broadcast_to(problem[name], problem["images"].shape[-1:])
    return torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1, 1)
