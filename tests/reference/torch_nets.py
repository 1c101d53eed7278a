"""Residual nets in PyTorch, small, with the layers' names of published weights."""

import torch
from torch import nn
from torch.nn import functional


def conv(before, after, stride=1, size=3, padding=None):
    pads = size // 2 if padding is None else padding
    return nn.Conv2d(before, after, size, stride, pads, bias=False)


class Named(nn.Module):
    """Layers under the names that are given."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def of(self, name, x):
        return self.get_submodule(name)(x)


class Holder(Named):
    """One layer under a name."""

    def forward(self, x):
        (only,) = self.children()
        return only(x)


class Before(Named):
    """Normalise, activate, convolve, twice.

    `kind` says what the shortcut sees, and whether stride two pads at the end alone.
    """

    def __init__(self, kind, names, before, after, stride, activate):
        late = kind in ("wide_late", "late")
        norms, convs, shortcut = names
        layers = {
            norms[0]: nn.BatchNorm2d(before),
            convs[0]: conv(before, after, stride, padding=0 if late else 1),
            norms[1]: nn.BatchNorm2d(after),
            convs[1]: conv(after, after),
        }
        is_wide = kind in ("wide", "wide_late")
        changes = before != after or (stride > 1 and not is_wide)
        if changes:
            size = 3 if kind == "late" else 1
            layers[shortcut] = conv(before, after, stride, size, 0)
            if kind in ("activated", "input"):
                layers[shortcut] = nn.Sequential(layers[shortcut])
        super().__init__(**layers)
        self.kind, self.names, self.stride, self.activate = (
            kind,
            names,
            stride,
            activate,
        )
        self.changes, self.late = changes, late

    def padded(self, x):
        pads = (1, 1, 1, 1) if self.stride == 1 else (0, 1, 0, 1)
        return functional.pad(x, pads) if self.late else x

    def forward(self, x):
        norms, convs, shortcut = self.names
        first = self.activate(self.of(norms[0], x))
        if self.changes:
            sees_input = self.kind in ("input", "late")
            seen = x if sees_input else first
            x = self.of(shortcut, self.padded(seen) if self.kind == "late" else seen)
        y = self.of(convs[0], self.padded(first))
        return self.of(convs[1], self.activate(self.of(norms[1], y))) + x


class After(Named):
    """Convolve and normalise, two or three times; the stride is in the 3x3 one."""

    def __init__(self, shortcut, before, after, stride, inner=None):
        sizes = (3, 3) if inner is None else (1, 3, 1)
        ends = (after, after) if inner is None else (inner, inner, after)
        layers, channels, strided = {}, before, sizes.index(3)
        for i, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            layers[f"conv{i + 1}"] = conv(
                channels, end, stride if i == strided else 1, size
            )
            layers[f"bn{i + 1}"] = nn.BatchNorm2d(end)
            channels = end
        if stride > 1 or before != after:
            parts = conv(before, after, stride, 1), nn.BatchNorm2d(after)
            layers[shortcut] = nn.Sequential(*parts)
        super().__init__(**layers)
        self.way, self.count = shortcut, len(sizes)

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = self.of(f"bn{i}", self.of(f"conv{i}", y))
            y = torch.relu(y) if i < self.count else y
        changes = hasattr(self, self.way)
        return torch.relu(y + (self.of(self.way, x) if changes else x))


class Net(Named):
    """Layers one after the other, then the mean over places and a linear layer."""

    def __init__(self, order, head, **layers):
        super().__init__(**layers)
        self.order, self.head = order, head

    def forward(self, x):
        for step in self.order:
            x = self.of(step, x) if isinstance(step, str) else step(x)
        return self.of(self.head, x.mean(dim=(2, 3)))


def stages(make, start, features, counts):
    """Blocks of each stage; the first of all but the first stage has stride two."""
    made, before = [], start
    for stage, (after, count) in enumerate(zip(features, counts, strict=True)):
        blocks = []
        for block in range(count):
            stride = 2 if stage and not block else 1
            blocks.append(make(before, after, stride))
            before = after
        made.append(nn.Sequential(*blocks))
    return made


def trades(depth=10, width=1, classes=5):
    names = (("bn1", "bn2"), ("conv1", "conv2"), "convShortcut")
    make = lambda *a: Before("wide", names, *a, torch.relu)  # noqa: E731
    sizes = [width * c for c in (16, 32, 64)]
    parts = stages(make, 16, sizes, 3 * [(depth - 4) // 6])
    blocks = {f"block{i + 1}": Holder(layer=part) for i, part in enumerate(parts)}
    layers = {"conv1": conv(3, 16), **blocks, "bn1": nn.BatchNorm2d(sizes[-1])}
    return Net((*layers, torch.relu), "fc", **layers, fc=nn.Linear(sizes[-1], classes))


def deepmind(depth=10, width=2, classes=5, activate=functional.silu):
    names = (("batchnorm_0", "batchnorm_1"), ("conv_0", "conv_1"), "shortcut")
    make = lambda *a: Before("wide_late", names, *a, activate)  # noqa: E731
    sizes = [width * c for c in (16, 32, 64)]
    parts = stages(make, 16, sizes, 3 * [(depth - 4) // 6])
    layers = {
        "init_conv": conv(3, 16),
        "layer": nn.Sequential(*(Holder(block=part) for part in parts)),
        "batchnorm": nn.BatchNorm2d(sizes[-1]),
    }
    head = nn.Linear(sizes[-1], classes)
    return Net((*layers, activate), "logits", **layers, logits=head)


def preact(kind="input", last_norm=False, width=4, classes=5):
    """`kind`: the shortcut sees the "input" or what is "activated"."""
    names = (("bn1", "bn2"), ("conv1", "conv2"), "shortcut")
    make = lambda *a: Before(kind, names, *a, torch.relu)  # noqa: E731
    sizes = [width * 2**i for i in range(4)]
    parts = stages(make, width, sizes, 4 * [2])
    layers = {"conv1": conv(3, width)}
    layers |= {f"layer{i + 1}": part for i, part in enumerate(parts)}
    order = list(layers)
    if last_norm:
        layers["bn"] = nn.BatchNorm2d(sizes[-1])
        order += ["bn", torch.relu]
    return Net(order, "linear", **layers, linear=nn.Linear(sizes[-1], classes))


def deepmind_preact(width=4, classes=5, activate=functional.silu):
    names = (("batchnorm_0", "batchnorm_1"), ("conv_2d_1", "conv_2d_2"), "shortcut")
    make = lambda *a: Before("late", names, *a, activate)  # noqa: E731
    sizes = [width * 2**i for i in range(4)]
    parts = stages(make, width, sizes, 4 * [2])
    layers = {"conv_2d": conv(3, width)}
    layers |= {f"layer_{i}": part for i, part in enumerate(parts)}
    layers["batchnorm"] = nn.BatchNorm2d(sizes[-1])
    head = nn.Linear(sizes[-1], classes)
    return Net((*layers, activate), "logits", **layers, logits=head)


def resnet(counts=(2, 2, 2, 2), width=4, classes=5, *, deep=False, imagenet=False):
    shortcut, head = ("downsample", "fc") if imagenet else ("shortcut", "linear")
    growth = 4 if deep else 1

    def make(before, after, stride):
        return After(shortcut, before, after, stride, after // 4 if deep else None)

    sizes = [growth * width * 2**i for i in range(4)]
    parts = stages(make, width, sizes, counts)
    stem = conv(3, width, 2, 7) if imagenet else conv(3, width)
    layers = {"conv1": stem, "bn1": nn.BatchNorm2d(width)}
    order = ["conv1", "bn1", torch.relu]
    if imagenet:
        order.append(nn.MaxPool2d(3, 2, 1))
    named = {f"layer{i + 1}": part for i, part in enumerate(parts)}
    layers |= named | {head: nn.Linear(sizes[-1], classes)}
    return Net([*order, *named], head, **layers)


class Normalised(nn.Module):
    """A net that sees (x - mean) / std of each channel."""

    def __init__(self, net, mean, std):
        super().__init__()
        self.model = net
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x):
        return self.model((x - self.mean) / self.std)


def perturbed(net, seed=0):
    """The net with weights and statistics of every layer unlike its neighbours'."""
    draw = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.weight.shape
            module.weight.data = 1 + 0.3 * torch.randn(shape, generator=draw)
            module.bias.data = 0.2 * torch.randn(shape, generator=draw)
            module.running_mean = 0.2 * torch.randn(shape, generator=draw)
            module.running_var = 0.5 + torch.rand(shape, generator=draw)
        elif hasattr(module, "weight"):
            shape = module.weight.shape
            scale = (2 / shape[1:].numel()) ** 0.5
            module.weight.data = scale * torch.randn(shape, generator=draw)
    return net.eval()
