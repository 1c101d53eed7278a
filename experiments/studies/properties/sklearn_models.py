"""Models that are no neural nets, as targets of transfer. By scikit-learn."""

from collections.abc import Collection
from typing import Any

import numpy as np
from sklearn import ensemble, neighbors, pipeline, preprocessing, svm

from robust_jax import analysis
from robust_jax.commands.shared import common
from robust_jax.datasets import Dataset

NAMES = ("linear SVM", "RBF SVM", "k-NN", "random forest", "boosted trees")
_MOST = 5_000  # training images: kernels take the square of their number


def trained(data: Dataset, seed: int) -> dict[str, analysis.PredictFn]:
    """By name, what models answer that were fitted to a training set's first images."""
    return {name: _answers(model) for name, model in fitted(data, seed).items()}


def fitted(
    data: Dataset, seed: int, names: Collection[str] | None = None
) -> dict[str, Any]:
    """By name, models of scikit-learn, fitted to a training set's first images.

    Args:
        names: of `NAMES`; all by default.
    """
    n = min(len(data), _MOST)
    pixels, labels = data.pixels()[:n].reshape(n, -1), data.labels[:n]
    linear = pipeline.make_pipeline(
        preprocessing.StandardScaler(with_std=False), svm.SVC(kernel="linear", C=0.1)
    )
    kinds = {
        "linear SVM": linear,
        "RBF SVM": svm.SVC(C=10.0),
        "k-NN": neighbors.KNeighborsClassifier(3),
        "random forest": ensemble.RandomForestClassifier(100, random_state=seed),
        "boosted trees": ensemble.HistGradientBoostingClassifier(
            max_iter=30, random_state=seed
        ),
    }
    kinds = {name: kinds[name] for name in names or kinds}
    found = {}
    with common.counted(len(kinds), "train other models", "model") as bar:
        for name, model in kinds.items():
            found[name] = model.fit(pixels, labels)
            bar.update()
    return found


def _answers(model: Any) -> analysis.PredictFn:
    return lambda images: np.asarray(model.predict(images.reshape(len(images), -1)))
