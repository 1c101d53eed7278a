"""How the nets of the studies are trained."""

import dataclasses

from robust_jax import train
from robust_jax.train.methods import Standard
from robust_jax.train.recipe_parts import Data, Descent

_PAPER = "Szegedy et al., ICLR 2014, Table 1; rate, batch and epochs are ours."
_NARROW = {"model_config.width": 1}  # Minutes on two cores.
_POOLED = {
    "model": "madry_cnn",
    "model_config": (("features", (16, 32)), ("hidden", 64)),
}
_RESNET = {"model": "wide_resnet", "model_config.depth": 10, "model_config.width": 1}


def by_name(dataset: str) -> dict[str, train.Recipe]:
    """How each net is trained; AE400-10 has a way of its own.

    Decay is lambda / 2 times the squared weights, which gives the paper's errors; the
    paper is read as dividing by the number of units, which does not. Of FC100-100-10
    and its kind it is 1e-5 in all layers; the paper has 1e-6 in the last.
    """
    few = dataset == "digits"
    sigmoid = train.Recipe(
        dataset,
        "fc100_100_10",
        method=Standard(),
        descent=Descent("sgd", rate=0.5, weight_decay=1e-5, decay_all=False),
        data=Data(batch_size=100),
        epochs=60 if few else 20,
        source=_PAPER,
    )
    affine = sigmoid.changed({"model_config.hidden": (), "epochs": 60 if few else 10})
    wide = sigmoid.changed({"model_config.hidden": (123, 456)})
    slow = affine.changed({"descent.rate": 0.02, "descent.weight_decay": 1.0})
    robust = {"epochs": 20, "descent.rate": 1e-2}
    if not few:
        robust = {"ball.eps": 0.2, "ball.growth_epochs": 2, "epochs": 4}
        robust |= {"attack.steps": 7, "attack.relative_step": 0.25, **_NARROW}
    cnn = train.recipe(dataset, {} if few else _NARROW | {"epochs": 3})
    made = {
        "fc10_1e-4": affine.changed({"descent.weight_decay": 1e-4}),
        "fc10_1e-2": affine.changed({"descent.weight_decay": 1e-2}),
        "fc10_1": slow,
        "fc100": sigmoid,
        "fc200": sigmoid.changed({"model_config.hidden": (200, 200)}),
        "fc123_first": dataclasses.replace(
            wide, descent=Descent(rate=1e-2 if few else 5e-3)
        ),
        "relu100": sigmoid.changed({"model": "mlp", "descent.rate": 0.1}),
        "cnn": cnn,
        "cnn_again": cnn,
        "pooled": train.recipe(dataset, _POOLED | {"epochs": 20 if few else 3}),
        "resnet": cnn.changed(_RESNET | {"epochs": 20 if few else 1}),
        "cnn_robust": train.recipe("pgd_digits" if few else "pgd_mnist", robust),
    }
    made["fc100_first"] = made["fc100_second"] = sigmoid
    last = {name: {"validate_every": one.epochs} for name, one in made.items()}
    return {name: one.changed(last[name]) for name, one in made.items()}
