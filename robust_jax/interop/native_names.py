"""What PyTorch's nets call the layers of ours, and which net names are of."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn

from robust_jax.core import checks
from robust_jax.models.bottleneck import BLOCKS, BOTTLENECKS, ResNet
from robust_jax.models.residual import PreActResNet18, ResNet18, WideResNet

Path = tuple[str, ...]  # of an array in a Flax tree, its collection first
Shapes = Mapping[str, tuple[int, ...]]

_LEAVES = {
    "bias": "bias",
    "kernel": "weight",
    "mean": "running_mean",
    "scale": "weight",
    "var": "running_var",
}


@dataclasses.dataclass(frozen=True)
class Names:
    """A net's layers as PyTorch has them, in the order in which ours makes them.

    Args:
        stem, norm, head: the first convolution, the normalisation outside of blocks,
            the last layer.
        block: its `{block}` counts within a stage, `{stage}` from 0 and `{layer}` from
            1 on.
        convs, norms: of a block; those of a shortcut last.
        first: a shortcut's convolution where ours makes it before the others.
    """

    stem: str
    norm: str
    head: str
    block: str
    convs: tuple[str, ...]
    norms: tuple[str, ...]
    first: str | None = None

    def of(self, path: Path, blocks: tuple[int, ...], convs: int) -> str:
        """PyTorch's name of an array.

        Args:
            path: such as ("params", "_WideBlock_3", "Conv_1", "kernel").
            blocks: of each stage.
            convs: how many the array's block has.
        """
        *_, layer, leaf = path
        kind, _, number = layer.rpartition("_")
        if len(path) == 3:
            whole = {"Conv": self.stem, "BatchNorm": self.norm, "Dense": self.head}
            return f"{whole[kind]}.{_LEAVES[leaf]}"
        names = self.norms
        if kind == "Conv":
            has_first = self.first is not None and convs > len(self.convs)
            names = (str(self.first), *self.convs) if has_first else self.convs
        index, stage = int(path[1].rpartition("_")[2]), 0
        while index >= blocks[stage]:
            index, stage = index - blocks[stage], stage + 1
        block = self.block.format(stage=stage, layer=stage + 1, block=index)
        return f"{block}.{names[int(number)]}.{_LEAVES[leaf]}"


def _two(*names: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return names[:2], names[2:]


_TRADES = Names(
    *("conv1", "bn1", "fc", "block{layer}.layer.{block}"),
    *_two("conv1", "conv2", "bn1", "bn2"),
    first="convShortcut",
)
_DEEPMIND = Names(
    *("init_conv", "batchnorm", "logits", "layer.{stage}.block.{block}"),
    *_two("conv_0", "conv_1", "batchnorm_0", "batchnorm_1"),
    first="shortcut",
)
_PREACT = Names(
    *("conv1", "bn", "linear", "layer{layer}.{block}"),
    *_two("conv1", "conv2", "bn1", "bn2"),
    first="shortcut.0",
)
_DEEPMIND_PREACT = Names(
    *("conv_2d", "batchnorm", "logits", "layer_{stage}.{block}"),
    *_two("conv_2d_1", "conv_2d_2", "batchnorm_0", "batchnorm_1"),
    first="shortcut",
)


def _post(head: str, shortcut: str, layers: int) -> Names:
    convs = (*(f"conv{i + 1}" for i in range(layers)), f"{shortcut}.0")
    norms = (*(f"bn{i + 1}" for i in range(layers)), f"{shortcut}.1")
    return Names("conv1", "bn1", head, "layer{layer}.{block}", convs, norms)


def names_of(module: nn.Module) -> tuple[Names, tuple[int, ...]]:
    """PyTorch's names for a net's layers, and its stages' blocks.

    Raises: ValueError: a net that has none.
    """
    if isinstance(module, WideResNet):
        names = _TRADES if module.layout == "trades" else _DEEPMIND
        return names, 3 * ((module.depth - 4) // 6,)
    if isinstance(module, PreActResNet18):
        is_deepmind = module.layout == "deepmind"
        return _DEEPMIND_PREACT if is_deepmind else _PREACT, BLOCKS[18]
    if isinstance(module, ResNet18):
        return _post("linear", "shortcut", 2), BLOCKS[18]
    if isinstance(module, ResNet):
        layers = 2 if module.depth < BOTTLENECKS else 3
        is_small = module.stem == "small"
        words = ("linear", "shortcut") if is_small else ("fc", "downsample")
        return _post(*words, layers), BLOCKS[module.depth]
    raise ValueError(
        f"module={checks.shown(module)}; expected a WideResNet, PreActResNet18, "
        "ResNet18 or ResNet; take interop.from_torch for other nets"
    )


def torch_names(module: nn.Module, paths: Iterable[Path]) -> dict[Path, str]:
    """PyTorch's name of each array of a net."""
    (names, blocks), paths = names_of(module), list(paths)
    convs = collections.Counter(path[1] for path in paths if path[-1] == "kernel")
    return {path: names.of(path, blocks, convs[path[1]]) for path in paths}


def recognised(shapes: Shapes) -> tuple[str, dict[str, Any]] | None:
    """The net of ours that weights are of, as `models.by_name` takes it.

    What names and shapes do not say, such as activations, is left out.
    """
    for names, reader in (
        (_TRADES, _wide),
        (_DEEPMIND, _wide),
        (_DEEPMIND_PREACT, _preact),
        (_PREACT, _preact),
        (_post("linear", "shortcut", 2), _plain),
        (_post("fc", "downsample", 2), _plain),
    ):
        start = names.block.format(stage=0, layer=1, block=0)
        ends = (names.stem, names.head, f"{start}.{names.convs[0]}")
        if [len(shapes.get(f"{end}.weight", ())) for end in ends] == [4, 2, 4]:
            found = reader(names, shapes)
            if found is not None:
                classes = shapes[f"{names.head}.weight"][0]
                return found[0], {"num_classes": classes, **found[1]}
    return None


def _wide(names: Names, shapes: Shapes) -> tuple[str, dict[str, Any]]:
    start = names.block.format(stage=0, layer=1, block=0)
    return "wide_resnet", {
        "depth": 6 * _blocks(names, shapes)[0] + 4,
        "width": shapes[f"{start}.{names.convs[0]}.weight"][0] // 16,
        "layout": "trades" if names is _TRADES else "deepmind",
    }


def _preact(names: Names, shapes: Shapes) -> tuple[str, dict[str, Any]] | None:
    is_small = shapes[f"{names.stem}.weight"][-1] == 3
    is_post = "bn1.weight" in shapes
    if is_post or not is_small or _blocks(names, shapes) != BLOCKS[18]:
        return None
    config: dict[str, Any] = {"width": shapes[f"{names.stem}.weight"][0]}
    if names is _DEEPMIND_PREACT:
        return "preact_resnet18", {**config, "layout": "deepmind"}
    return "preact_resnet18", {**config, "last_norm": f"{names.norm}.weight" in shapes}


def _plain(names: Names, shapes: Shapes) -> tuple[str, dict[str, Any]] | None:
    is_small, is_deep = names.head == "linear", "layer1.0.conv3.weight" in shapes
    blocks = _blocks(names, shapes)
    depths = [
        d for d in BLOCKS if BLOCKS[d] == blocks and (d >= BOTTLENECKS) == is_deep
    ]
    width, *_, side = shapes["conv1.weight"]
    if not (depths and width) or side != (3 if is_small else 7):
        return None
    if "bn1.weight" not in shapes:
        return None
    if is_small and depths == [18]:
        return "resnet18", {"width": width}
    inner = shapes["layer1.0.conv1.weight"][0] // width if is_deep else 1
    stem = "small" if is_small else "imagenet"
    return "resnet", {"depth": depths[0], "stem": stem, "width": width, "inner": inner}


def _blocks(names: Names, shapes: Shapes) -> tuple[int, ...]:
    """How many blocks each stage has."""
    counts: list[int] = []
    while (blocks := _blocks_of(len(counts), names, shapes)) > 0:
        counts.append(blocks)
    return tuple(counts)


def _blocks_of(stage: int, names: Names, shapes: Shapes) -> int:
    block, form = 0, f"{names.block}.{names.convs[0]}.weight"
    while form.format(stage=stage, layer=stage + 1, block=block) in shapes:
        block += 1
    return block
