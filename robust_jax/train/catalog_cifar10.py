"""Recipes for CIFAR-10, as their authors have them unless a comment says otherwise.

They want an accelerator: hundreds of PFLOP each. Their published numbers are in the
papers named; none was run to its end here.
"""

import dataclasses

from robust_jax.train import methods
from robust_jax.train.recipe_parts import Ball, Data, Descent, Inner, Weights
from robust_jax.train.recipes import Recipe

_EPS = 8 / 255
_TRADES_EPS = 0.031
_TWO = 2 / 8  # Steps of 2/255 as a share of eps.
_CROPPED = ("crop-4", "flip")
_SGD = Descent(
    "sgd",
    rate=0.1,
    weight_decay=5e-4,
    schedule="piecewise",
    drops=(100.0, 150.0),
    factors=(0.1, 0.1),
)
_TRIANGLE = Descent(
    "sgd",
    rate=0.2,
    weight_decay=5e-4,
    schedule="triangular",
    warm_up=0.4,
    final_rate=0.0,
)
_NORMALISED = (
    ("mean", (0.4914, 0.4822, 0.4465)),
    ("std", (0.2471, 0.2435, 0.2616)),
)
_RICE = Recipe(
    dataset="cifar10",
    model="preact_resnet18",
    model_config=_NORMALISED,
    ball=Ball(eps=_EPS),
    attack=Inner(steps=10, relative_step=_TWO, mode="batch"),
    descent=_SGD,
    data=Data(batch_size=128, augment=_CROPPED),
    weights=Weights(keep="best"),
    epochs=200,
    source="Rice et al., Overfitting in adversarially robust deep learning, 2020.",
)
_TRADES = dataclasses.replace(
    _RICE,
    model="wide_resnet",
    model_config=(("depth", 34), ("width", 10)),
    ball=Ball(eps=_TRADES_EPS),
    attack=Inner(steps=10, relative_step=0.007 / _TRADES_EPS),
    method=methods.Trades(beta=6.0),
    descent=dataclasses.replace(_SGD, weight_decay=2e-4, drops=(75.0,), factors=(0.1,)),
    weights=Weights(),
    epochs=76,
    source="Zhang et al., TRADES, 2019, and their script.",
)
_SINGLE = dataclasses.replace(
    _RICE,
    attack=Inner("fgsm_rs", steps=1, relative_step=10 / 8, mode="batch"),
    descent=_TRIANGLE,
    weights=Weights(),
    epochs=30,
    source="Wong et al., Fast is better than free, 2020.",
)

RECIPES: dict[str, Recipe] = {
    "pgd_cifar10": _RICE,
    "trades_cifar10": _TRADES,
    "mart_cifar10": dataclasses.replace(
        _TRADES,
        model="resnet18",
        model_config=(),
        method=methods.Mart(beta=5.0),
        descent=dataclasses.replace(
            _SGD,
            rate=0.01,
            weight_decay=3.5e-3,
            drops=(75.0, 90.0, 100.0),
            factors=(0.1, 0.1, 0.1),
        ),
        epochs=120,
        source="Wang et al., MART, 2020, and their script.",
    ),
    "awp_cifar10": dataclasses.replace(
        _RICE,
        method=methods.Adversarial(awp=0.01),
        source="Wu et al., Adversarial weight perturbation, 2020 (AT-AWP).",
    ),
    "trades_awp_cifar10": dataclasses.replace(
        _TRADES,
        ball=Ball(eps=_EPS),
        attack=Inner(steps=10, relative_step=_TWO),
        method=methods.Trades(beta=6.0, awp=5e-3, awp_after=10.0),
        descent=_SGD,
        epochs=200,
        source="Wu et al., Adversarial weight perturbation, 2020 (TRADES-AWP).",
    ),
    "fgsm_rs_cifar10": _SINGLE,
    "free_cifar10": dataclasses.replace(
        _SINGLE,
        attack=Inner(relative_step=1.0),
        method=methods.Free(),
        descent=dataclasses.replace(_TRIANGLE, rate=0.04),
        data=Data(batch_size=128, augment=_CROPPED, replays=8),
        epochs=10,
        source="Shafahi et al., Adversarial training for free!, 2019, as Wong et al.'s "
        "script has it.",
    ),
    "nfgsm_cifar10": dataclasses.replace(
        _SINGLE,
        attack=Inner("n_fgsm", steps=1, relative_step=1.0, mode="batch"),
        source="de Jorge et al., Make some noise, 2022.",
    ),
    "grad_align_cifar10": dataclasses.replace(
        _SINGLE,
        attack=Inner("fgsm", steps=1, relative_step=1.0, mode="batch"),
        method=methods.GradAlign(weight=0.2),
        descent=dataclasses.replace(_TRIANGLE, rate=0.3),
        source="Andriushchenko & Flammarion, Fast adversarial training, 2020.",
    ),
    # Without their 1M synthetic images: pass your own as extra data.
    "rebuffi_cifar10": dataclasses.replace(
        _RICE,
        model="wide_resnet",
        model_config=(
            ("depth", 28),
            ("width", 10),
            ("layout", "deepmind"),
            ("activation", "silu"),
            *_NORMALISED,
        ),
        attack=Inner("pgd_kl", steps=10, relative_step=_TWO, mode="batch"),
        method=methods.Trades(beta=6.0),
        descent=Descent(
            "sgd",
            rate=0.4,
            weight_decay=5e-4,
            decay_all=False,
            nesterov=True,
            schedule="cosine",
            warm_up=0.025,
            final_rate=0.0,
        ),
        data=Data(batch_size=1024, augment=_CROPPED, mixture="cutmix-1.0"),
        weights=Weights(ema=(0.995,), give="ema_0.995", keep="best"),
        epochs=400,
        source="Rebuffi et al., Data augmentation can improve robustness, 2021; its "
        "inner Adam and emulated workers are PGD and whole batches here.",
    ),
    # Toward 50 % under AutoAttack in minutes: PGD-AT with an average of the weights
    # and smoothing (FastAT_Benchmark's best plain row), one cycle, bfloat16.
    "speedrun_cifar10": dataclasses.replace(
        _RICE,
        method=methods.Adversarial(smoothing=0.3),
        attack=Inner(steps=7, relative_step=_TWO, mode="eval"),
        descent=Descent(
            "sgd",
            rate=0.2,
            weight_decay=5e-4,
            nesterov=True,
            schedule="one_cycle",
            warm_up=0.3,
        ),
        weights=Weights(ema=(0.999, 0.9995), give="ema_0.9995", keep="best"),
        epochs=40,
        precision="bfloat16",
        source="Ours; not run yet.",
    ),
}
