"""Projected sign steps in plain PyTorch."""

import torch
from torch import nn


def bounds(images: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the Linf ball and the box [0, 1] meet: lowest and highest pixels."""
    return (images - eps).clamp(min=0), (images + eps).clamp(max=1)


def climb(
    net: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    step_size: float,
    within: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Steps from x up the cross entropy, cut to the bounds."""
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        loss = nn.functional.cross_entropy(net(x), labels, reduction="sum")
        (grad,) = torch.autograd.grad(loss, x)
        x = torch.clamp(x.detach() + step_size * grad.sign(), *within)
    return x
