"""The nets by name."""

from typing import Any

from robust_jax.core import checks
from robust_jax.models import bottleneck, networks, residual, transformer
from robust_jax.models.networks import Classifier

NETWORKS: dict[str, type[Classifier]] = {
    "digits_cnn": networks.DigitsCNN,
    "fast_cnn": networks.FastCNN,
    "fc100_100_10": networks.SigmoidMLP,
    "madry_cnn": networks.MadryCNN,
    "mlp": networks.MLP,
    "preact_resnet18": residual.PreActResNet18,
    "resnet": bottleneck.ResNet,
    "resnet18": residual.ResNet18,
    "small_cnn": networks.SmallCNN,
    "vit": transformer.VisionTransformer,
    "wide_resnet": residual.WideResNet,
}
# Attributes that came after the first files: written where they are not the usual ones.
LATER = {"preact_resnet18": ("layout", "activation", "last_norm")}


def names() -> list[str]:
    """The names that `by_name` knows, sorted.

    >>> rj.models.names()[:3]
    ['digits_cnn', 'fast_cnn', 'fc100_100_10']
    """
    return sorted(NETWORKS)


def by_name(name: str, **config: Any) -> Classifier:
    """The net of a name: an untrained module, without weights.

    Args:
        name: one of `names()`.
        config: the module's attributes, such as num_classes=10; a list becomes a tuple,
            so that what JSON gives back makes an equal module.
    Raises: ValueError: an unknown name or attribute, with the known ones.

    >>> rj.models.by_name("mlp", hidden=(32,), num_classes=3).hidden
    (32,)
    """
    checks.known_name("model", name, NETWORKS)
    network = NETWORKS[name]
    known = set(network.__dataclass_fields__) - {"parent", "name"}
    for attribute in config:
        checks.known_name(f"attribute of {name}", attribute, known)
    classes = config.get("num_classes", 2)
    if not isinstance(classes, int) or classes < 2:
        raise ValueError(
            f"num_classes={checks.shown(classes)}; expected an integer >= 2"
        )
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in config.items()
    }
    return network(**values)
