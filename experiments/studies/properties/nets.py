"""The nets that the studies look at, each trained when it is first asked for."""

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import linear_model

from experiments.studies.properties import recipes
from robust_jax import analysis, models, train
from robust_jax.commands.shared import common
from robust_jax.core.types import LogitsFn
from robust_jax.datasets import Dataset
from robust_jax.train import checkpointing

_VALIDATION = 50  # Nothing is chosen by them.
_CODE_DECAY = 1e-6  # Of AE400-10's classifier.
TITLES = {
    "fc10_1e-4": "FC10(1e-4)",
    "fc10_1e-2": "FC10(1e-2)",
    "fc10_1": "FC10(1)",
    "fc100": "FC100-100-10",
    "fc200": "FC200-200-10",
    "ae400": "AE400-10",
    "fc100_first": "FC100-100-10",
    "fc123_first": "FC123-456-10",
    "fc100_second": "FC100-100-10'",
    "relu100": "ReLU 100-100",
    "cnn": "CNN",
    "cnn_again": "CNN, other seed",
    "pooled": "CNN with pooling",
    "resnet": "WRN-10-1",
    "cnn_robust": "CNN, trained against PGD",
}


class Net(NamedTuple):
    """A net with weights, of `models`."""

    title: str
    module: models.Classifier
    variables: Any
    history: dict[str, Any]

    @property
    def logits_fn(self) -> LogitsFn:
        """One example [*S] -> logits [K]."""
        return models.logits_fn(self.module, self.variables)

    def error(self, data: Dataset) -> float:
        """Share of the examples that it gets wrong."""
        answers = analysis.predictor(self.logits_fn)(data.pixels())
        return float((answers != data.labels).mean())


class Nets:
    """Nets of one data set and seed.

    Args:
        dataset: "digits" or "mnist".
        seed: of weights and order.
        training: the training set.
        validation: of the same data.
        folder: where trained nets are kept, and found again; None keeps none.
    """

    def __init__(
        self,
        dataset: str,
        seed: int,
        training: Dataset,
        validation: Dataset,
        folder: str | None = None,
    ) -> None:
        self._recipes = recipes.by_name(dataset)
        self._seed, self._training = seed, training
        self._validation = validation.take(np.arange(min(_VALIDATION, len(validation))))
        self._folder, self._made = folder, dict[str, Net]()

    def __getitem__(self, name: str) -> Net:
        if name not in self._made:
            make = self._code_net if name == "ae400" else self._fitted
            self._made[name] = make(name)
        return self._made[name]

    def recipe(self, name: str) -> train.Recipe:
        """How a net is trained."""
        return self._recipes[name]

    def untrained(self, name: str) -> Net:
        """A net with random weights, others than those that training began with."""
        recipe, shape = self._recipes[name], self._training.images.shape[1:]
        module = models.by_name(recipe.model, **dict(recipe.model_config))
        variables = models.init(module, jax.random.key(self._seed), shape)
        return Net(f"{TITLES[name]}, untrained", module, variables, {})

    def error(self, name: str, data: Dataset) -> float:
        """Share of the examples that a net gets wrong."""
        return self[name].error(data)

    def _fitted(self, name: str) -> Net:
        recipe = self._recipes[name]
        data = part(name, self._training)
        seed = self._seed + 1000 * name.endswith(("_again", "_second"))
        checkpointer = None
        if self._folder is not None:
            folder = pathlib.Path(self._folder) / f"{recipe.dataset}-{seed}" / name
            checkpointer = checkpointing.OrbaxCheckpointer(folder, every=10**9, keep=1)
        total = recipe.epochs * recipe.steps_per_epoch(len(data))
        with common.counted(total, f"train {TITLES[name]}", "step") as bar:
            done = train.fit(
                recipe, data, self._validation, seed=seed, checkpointer=checkpointer,
                on_start=bar.update, on_step=bar.update,
            )  # fmt: skip
        return Net(TITLES[name], done.module, done.variables, done.history)

    def _code_net(self, name: str) -> Net:
        pixels, labels = self._training.pixels(), self._training.labels
        few = len(pixels) < 10_000
        key = jax.random.key(self._seed)
        coder = analysis.sparse_autoencoder(pixels, 400, key, epochs=100 if few else 20)
        code = np.asarray(coder.code(jnp.asarray(pixels.reshape(len(pixels), -1))))
        strength = 1 / (len(pixels) * _CODE_DECAY)
        readout = linear_model.LogisticRegression(C=strength, max_iter=500)
        readout.fit(code, labels)
        top = {"kernel": readout.coef_.T, "bias": readout.intercept_}
        below = {"kernel": coder.encoder, "bias": coder.code_bias}
        params = {"Dense_0": below, "Dense_1": jax.tree.map(jnp.float32, top)}
        module = models.by_name("fc100_100_10", hidden=(400,))
        return Net(TITLES[name], module, {"params": params}, {})


def part(name: str, data: Dataset) -> Dataset:
    """The half of the training set that a net is trained on, or all of it."""
    half = len(data) // 2
    if name.endswith("_first"):
        return data.take(np.arange(half))
    return data.take(np.arange(half, len(data))) if "_second" in name else data
