"""PyTorch's layers with weights that came as HWIO and (in, out)."""

import numpy as np
import torch
from torch import nn


def conv(
    problem: dict[str, np.ndarray], name: str, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """A convolution with the weights of one of Flax."""
    kernel = problem[f"{name}/kernel"]
    size, _, inputs, outputs = kernel.shape
    layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding)
    return _fill(layer, kernel.transpose(3, 2, 0, 1), problem[f"{name}/bias"])


def dense(
    problem: dict[str, np.ndarray], name: str, image: tuple[int, int] | None = None
) -> nn.Linear:
    """A dense layer; `image`: height and width of what is flattened before it."""
    kernel = problem[f"{name}/kernel"]
    if image is not None:  # Flattened in HWC order there, in CHW order here.
        kernel = kernel.reshape(*image, -1, kernel.shape[1])
        kernel = kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[3])
    return _fill(nn.Linear(*kernel.shape), kernel.T, problem[f"{name}/bias"])


def _fill(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
