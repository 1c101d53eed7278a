"""The PyTorch side of `experiments.comparisons.compare_steps`; runs without robust_jax.

A request is a number of training steps; the answer is the mean of their seconds and the
last loss.
"""

import functools
import time
from typing import Any

import torch
from torch import nn

import serving
import torch_pgd


class Block(nn.Module):
    """Two convolutions, each after normalisation and ReLU, around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.project: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.project = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs [B, C, H, W]."""
        first = torch.relu(self.norm_1(x))
        shortcut = x if self.project is None else self.project(first)
        y = self.conv_2(torch.relu(self.norm_2(self.conv_1(first))))
        return y + shortcut


def preact_resnet18() -> nn.Module:
    """He et al.'s (2016) net for images of 32x32."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False)]
    inputs = 64
    for outputs in (64, 128, 256, 512):
        layers.append(Block(inputs, outputs, 1 if outputs == 64 else 2))
        layers.append(Block(outputs, outputs, 1))
        inputs = outputs
    layers += [nn.BatchNorm2d(512), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(512, 10))


def small_cnn() -> nn.Module:
    """TRADES' net for images of 28x28."""
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    layers = [nn.Conv2d(1, 32, 3), relu, nn.Conv2d(32, 32, 3), relu, pool]
    layers += [nn.Conv2d(32, 64, 3), relu, nn.Conv2d(64, 64, 3), relu, pool]
    layers += [nn.Flatten(), nn.Linear(1024, 200), relu, nn.Linear(200, 200), relu]
    return nn.Sequential(*layers, nn.Linear(200, 10))


NETS = {"preact_resnet18": preact_resnet18, "small_cnn": small_cnn}


def perturbed(
    net: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    eps: float,
    step_size: float,
) -> torch.Tensor:
    """PGD in the ball from a random start, with the net's running statistics."""
    net.eval()
    within = torch_pgd.bounds(images, eps)
    start = torch.clamp(images + eps * (2 * torch.rand_like(images) - 1), *within)
    x_adv = torch_pgd.climb(net, start, labels, steps, step_size, within)
    net.train()
    return x_adv


def begin(problem: serving.Problem) -> serving.Answer:
    """Answers requests on one net and one set of images."""
    images = torch.from_numpy(problem["images"]).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(problem["labels"]).long()
    numbers = [problem[k].item() for k in ("steps", "eps", "step_size")]
    batch_size, rate, decay = (
        problem[k].item() for k in ("batch_size", "rate", "decay")
    )

    @functools.cache
    def begun() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = NETS[str(problem["net"])]()
        return net, torch.optim.SGD(net.parameters(), rate, 0.9, weight_decay=decay)

    def step() -> float:
        net, descent = begun()
        chosen = torch.randperm(len(labels))[:batch_size]
        some, right = images[chosen], labels[chosen]
        x_adv = perturbed(net, some, right, *numbers)
        descent.zero_grad()
        loss = nn.functional.cross_entropy(net(x_adv), right)
        loss.backward()
        descent.step()
        return loss.item()

    def answer(request: dict[str, Any]) -> tuple[dict[str, Any], None]:
        start = time.perf_counter()
        losses = [step() for _ in range(request["count"])]
        seconds = (time.perf_counter() - start) / request["count"]
        return {"seconds": seconds, "loss": losses[-1]}, None

    return answer


if __name__ == "__main__":
    serving.serve({"torch": torch.__version__}, begin)
