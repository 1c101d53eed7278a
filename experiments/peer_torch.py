"""The PyTorch side of `experiments.benchmark --suite=peers`; runs without robust_jax.

Reads the problem from an npz file, then for each line on stdin (a memory layout) runs
the attack once, prints its seconds and writes the result to the second file.
"""

import os
import sys
import time

import numpy as np
import torch
from torch import nn


def build(problem: dict[str, np.ndarray]) -> nn.Module:
    """TRADES' SmallCNN with weights that came as HWIO and (in, out)."""
    convs, denses = [], []
    for i in range(4):
        kernel = problem[f"Conv_{i}/kernel"]
        conv = nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0])
        bias = problem[f"Conv_{i}/bias"]
        convs.append(_fill(conv, kernel.transpose(3, 2, 0, 1), bias))
    for i in range(3):
        kernel = problem[f"Dense_{i}/kernel"]
        if i == 0:  # Flattened in HWC order there, in CHW order here.
            side = round((kernel.shape[0] / 64) ** 0.5)
            kernel = kernel.reshape(side, side, 64, -1).transpose(2, 0, 1, 3)
            kernel = kernel.reshape(side * side * 64, -1)
        dense = nn.Linear(*kernel.shape)
        denses.append(_fill(dense, kernel.T, problem[f"Dense_{i}/bias"]))
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
    x = images
    lower, upper = (images - eps).clamp(min=0), (images + eps).clamp(max=1)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        loss = nn.functional.cross_entropy(net(x), labels, reduction="sum")
        (grad,) = torch.autograd.grad(loss, x)
        x = torch.clamp(x.detach() + step_size * grad.sign(), lower, upper)
    return x


def _fill(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def main() -> None:
    """Serves one attack per line of stdin."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with np.load(sys.argv[1]) as file:
        problem = dict(file)
    images = torch.from_numpy(problem["images"]).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(problem["labels"]).long()
    numbers = [problem[k].item() for k in ("steps", "eps", "step_size")]
    formats = {
        "default": torch.contiguous_format,
        "channels_last": torch.channels_last,
    }
    nets = {name: build(problem).to(memory_format=f) for name, f in formats.items()}
    print(torch.__version__, torch.get_num_threads(), flush=True)
    for line in sys.stdin:
        layout = line.strip()
        batch = images.to(memory_format=formats[layout])
        start = time.perf_counter()
        x_adv = attack(nets[layout], batch, labels, *numbers)
        seconds = time.perf_counter() - start
        np.savez(sys.argv[2], x_adv=x_adv.permute(0, 2, 3, 1).contiguous().numpy())
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
