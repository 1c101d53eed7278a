"""PyTorch's side of `benchmark --suite=first_verdict`: AutoAttack, once.

A fresh process per evaluation: reads the problem, runs the reference's standard
evaluation, prints one line of JSON. Imports what a user of AutoAttack needs.
"""

import json
import sys
import time
from importlib import metadata

import numpy as np
import pyautoattack
import torch
from torch import nn

import torch_layers

Problem = dict[str, np.ndarray]


class Net(nn.Module):
    """The problem's net; notes when a gradient is first asked for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        shape = problem["images"].shape[1:]
        mean, std = (np.broadcast_to(problem[n], shape[-1:]) for n in ("mean", "std"))
        self.mean, self.std = (_per_channel(value) for value in (mean, std))
        self.layers = nn.Sequential(*_layers(problem, shape))
        self.first_step: float | None = None
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of images [B, C, H, W]."""
        if x.requires_grad and self.first_step is None:
            self.first_step = time.time()
        return self.layers((x - self.mean) / self.std)


def _layers(problem: Problem, shape: tuple[int, ...]) -> list[nn.Module]:
    convs: list[nn.Module] = []
    if str(problem["net"]) == "fast_cnn":
        for name in ("Conv_0", "Conv_1"):
            convs += [torch_layers.conv(problem, name, stride=2, padding=1), nn.ReLU()]
        shape = (shape[0] // 4, shape[1] // 4)
    first = torch_layers.dense(problem, "Dense_0", (shape[0], shape[1]))
    last = torch_layers.dense(problem, "Dense_1")
    return [*convs, nn.Flatten(), first, nn.ReLU(), last]


def _per_channel(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1, 1)


def verdict(problem: Problem) -> dict[str, object]:
    """What the benchmark's table needs; `first_step` is a time of `time.time()`."""
    torch.set_num_threads(1)
    net, labels = Net(problem), torch.from_numpy(problem["labels"]).long()
    pixels = np.ascontiguousarray(problem["images"].transpose(0, 3, 1, 2))
    images, eps = torch.from_numpy(pixels), float(problem["eps"])
    attack = pyautoattack.AutoAttack(
        net, norm="Linf", eps=eps, version="standard", device="cpu", seed=0
    )
    x_adv = attack.run_standard_evaluation(images, labels, batch_size=250)[0]
    return {
        "robust": int((net(x_adv).argmax(1) == labels).sum()),
        "first_step": net.first_step,
        "versions": {n: metadata.version(n) for n in ("torch", "pyautoattack")},
    }


if __name__ == "__main__":
    with np.load(sys.argv[1]) as file:
        print(json.dumps(verdict(dict(file))))
