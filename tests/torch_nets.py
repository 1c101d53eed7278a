"""Small nets of PyTorch, as tests take them for other people's."""

import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)


class Block(nn.Module):
    """Two convolutions around which the input goes, normalised first."""

    def __init__(self, width):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(2)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)]
        )

    def forward(self, x):
        branch = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            branch = conv(functional.relu(norm(branch)))
        return x + branch


class Residual(nn.Module):
    """A residual net whose statistics are those of no data in particular."""

    def __init__(self, width=6, classes=4, channels=3, stride=2):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4]), persistent=False)
        self.first = nn.Conv2d(channels, width, 3, stride=stride)
        self.block = Block(width)
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        return self.last(self.block(self.first(x - self.mean)).mean((2, 3)))


class Attention(nn.Module):
    """Patches that look at each other."""

    def __init__(self, width=8, classes=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.places = nn.Parameter(torch.randn(1, 4, width))
        self.norm = nn.LayerNorm(width)
        self.look = nn.MultiheadAttention(width, 2, batch_first=True)
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        normal = self.norm(tokens)
        seen = self.look(normal, normal, normal, need_weights=False)[0]
        return self.last(functional.gelu(tokens + seen).mean(1))


def groups():
    """Normalised in groups, smooth, pooled to places that do not divide the image."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.GroupNorm(2, 6),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(6 * 16, 4),
    )


def made(make, seed=0, **options):
    """A net with weights and statistics that are all different, ready to ask."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make(**options)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
                nn.init.normal_(part.weight, 1, 0.2)
                nn.init.normal_(part.bias, 0, 0.2)
    return net.eval()


def images(n=8, shape=(3, 8, 8), seed=0):
    """Random images in [0, 1]."""
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))
