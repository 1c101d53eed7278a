"""The PyTorch side of `benchmark --suite=peers`; runs without robust_jax.

A request names a memory layout; the attack is run once, the answer is its seconds.
"""

import time
from typing import Any

import numpy as np
import torch
from torch import nn

import serving
import torch_layers
import torch_pgd

_FORMATS = {
    "default": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def build(problem: serving.Problem) -> nn.Module:
    """TRADES' SmallCNN."""
    convs = [torch_layers.conv(problem, f"Conv_{i}") for i in range(4)]
    side = round((problem["Dense_0/kernel"].shape[0] / 64) ** 0.5)
    denses = [
        torch_layers.dense(problem, "Dense_0", (side, side)),
        torch_layers.dense(problem, "Dense_1"),
        torch_layers.dense(problem, "Dense_2"),
    ]
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    layers = [convs[0], relu, convs[1], relu, pool]
    layers += [convs[2], relu, convs[3], relu, pool]
    layers += [nn.Flatten(), denses[0], relu, denses[1], relu, denses[2]]
    return nn.Sequential(*layers).eval().requires_grad_(False)


def attack(
    net: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    eps: float,
    step_size: float,
) -> torch.Tensor:
    """Projected sign steps up the cross entropy."""
    within = torch_pgd.bounds(images, eps)
    return torch_pgd.climb(net, images, labels, steps, step_size, within)


def begin(problem: serving.Problem) -> serving.Answer:
    """Answers requests on one problem."""
    images = torch.from_numpy(problem["images"]).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(problem["labels"]).long()
    numbers = [problem[k].item() for k in ("steps", "eps", "step_size")]
    nets = {name: build(problem).to(memory_format=f) for name, f in _FORMATS.items()}

    def answer(request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        layout = request["layout"]
        batch = images.to(memory_format=_FORMATS[layout])
        start = time.perf_counter()
        x_adv = attack(nets[layout], batch, labels, *numbers)
        seconds = time.perf_counter() - start
        return {"seconds": seconds}, x_adv.permute(0, 2, 3, 1).contiguous().numpy()

    return answer


if __name__ == "__main__":
    serving.serve({"torch": torch.__version__}, begin)
