"""The libraries' side of `experiments.compare_peers`; runs without robust_jax.

Reads a net and images from an npz file. Then each line on stdin asks for one attack in
JSON: library, attack, arguments, channels, eps, seed. It is run once; the answer is a
line with its seconds and, per image, the forwards and backwards that the net has
computed, or with the library's error. The adversarial images go to the second file.
"""

import importlib
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

warnings.simplefilter("ignore")

_DISTRIBUTIONS = {
    "art": "adversarial-robustness-toolbox",
    "autoattack": "pyautoattack",
    "foolbox": "foolbox",
    "foolbox, JAX": "foolbox",
    "torchattacks": "torchattacks",
}

Problem = dict[str, np.ndarray]
Attack = Callable[[], Any]


class CountedNet(nn.Module):
    """The two-conv MNIST net, counting the images that pass it in either direction."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.mean = _per_channel(problem, "mean")
        self.std = _per_channel(problem, "std")
        convs, denses = [], []
        for i in range(2):
            kernel = problem[f"Conv_{i}/kernel"]
            conv = nn.Conv2d(kernel.shape[2], kernel.shape[3], 4, stride=2, padding=1)
            bias = problem[f"Conv_{i}/bias"]
            convs.append(_fill(conv, kernel.transpose(3, 2, 0, 1), bias))
        for i in range(2):
            kernel = problem[f"Dense_{i}/kernel"]
            if i == 0:  # Flattened in HWC order there, in CHW order here.
                height, width = (side // 4 for side in problem["images"].shape[1:3])
                kernel = kernel.reshape(height, width, -1, kernel.shape[1])
                kernel = kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[3])
            dense = nn.Linear(*kernel.shape)
            denses.append(_fill(dense, kernel.T, problem[f"Dense_{i}/bias"]))
        relu = nn.ReLU()
        layers = [convs[0], relu, convs[1], relu, nn.Flatten()]
        layers += [denses[0], relu, denses[1]]
        self.layers = nn.Sequential(*layers)
        self.forwards = self.backwards = 0
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of images [B, C, H, W]; further channels are ignored."""
        self.forwards += len(x)
        # Some attacks are written for three channels: their images repeat the one.
        logits = self.layers((x[:, : self.mean.shape[1]] - self.mean) / self.std)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, grad: torch.Tensor) -> None:
        self.backwards += len(grad)


class CountedFunction:
    """The same net for foolbox's JAX mode; the net itself is compiled."""

    def __init__(self, problem: Problem) -> None:
        weights = {k: jax.numpy.asarray(v) for k, v in problem.items() if "/" in k}
        mean, std = problem["mean"], problem["std"]

        def logits(x):
            x = (x - mean) / std
            for i in range(2):
                x = jax.lax.conv_general_dilated(
                    x,
                    weights[f"Conv_{i}/kernel"],
                    window_strides=(2, 2),
                    padding=((1, 1), (1, 1)),
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
                x = jax.nn.relu(x + weights[f"Conv_{i}/bias"])
            x = x.reshape(len(x), -1) @ weights["Dense_0/kernel"]
            x = jax.nn.relu(x + weights["Dense_0/bias"])
            return x @ weights["Dense_1/kernel"] + weights["Dense_1/bias"]

        self._logits = jax.jit(logits)
        self._traced = jax.core.Tracer
        self.forwards = self.backwards = 0

    def __call__(self, x: Any) -> Any:
        """Logits [B, K] of images [B, H, W, C]."""
        self.forwards += len(x)
        if isinstance(x, self._traced):  # Called to be differentiated.
            self.backwards += len(x)
        return self._logits(x)


class Libraries:
    """Every library's attacks on one problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.net = CountedNet(problem)
        images = torch.from_numpy(problem["images"]).permute(0, 3, 1, 2)
        self._images = images.contiguous()
        self._labels = torch.from_numpy(problem["labels"]).long()
        self._function: CountedFunction | None = None

    def prepare(self, request: dict[str, Any]) -> tuple[Any, Attack]:
        """The net whose passes count, and the attack as a call without arguments."""
        kind = request["library"]
        if kind == "foolbox":
            return self.net, self._foolbox(request)
        if kind == "foolbox, JAX":
            return self._foolbox_jax(request)
        make = _find(kind, request["attack"])
        if kind == "torchattacks":
            attack = make(self.net, **request["arguments"])
            return self.net, lambda: attack(self._expanded(request), self._labels)
        if kind == "autoattack":
            arguments = {"device": "cpu", "seed": request["seed"]}
            attack = make(self.net, **arguments, **request["arguments"])
            return self.net, lambda: attack.perturb(self._images, self._labels)
        return self.net, self._art(make, request)

    def _expanded(self, request: dict[str, Any]) -> torch.Tensor:
        channels = max(request.get("channels", 1), self._images.shape[1])
        return self._images.expand(-1, channels, -1, -1)

    def _foolbox(self, request: dict[str, Any]) -> Attack:
        foolbox = importlib.import_module("foolbox")
        attack = _find("foolbox", request["attack"])(**request["arguments"])
        model = foolbox.PyTorchModel(self.net, bounds=(0, 1), device="cpu")
        criterion, eps = foolbox.Misclassification(self._labels), request["eps"]
        return lambda: attack(model, self._images, criterion, epsilons=eps)[1]

    def _foolbox_jax(self, request: dict[str, Any]) -> tuple[CountedFunction, Attack]:
        foolbox = importlib.import_module("foolbox")
        if self._function is None:
            self._function = CountedFunction(self._problem)
        attack = _find("foolbox", request["attack"])(**request["arguments"])
        model = foolbox.JAXModel(self._function, bounds=(0, 1))
        images = jax.numpy.asarray(self._problem["images"])
        labels = jax.numpy.asarray(self._problem["labels"])
        criterion, eps = foolbox.Misclassification(labels), request["eps"]

        def call():
            found = attack(model, images, criterion, epsilons=eps)[1]
            return found.block_until_ready()

        return self._function, call

    def _art(self, make: Callable[..., Any], request: dict[str, Any]) -> Attack:
        estimators = importlib.import_module("art.estimators.classification")
        classifier = estimators.PyTorchClassifier(
            self.net,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(self._images.shape[1:]),
            nb_classes=int(self._problem["num_classes"]),
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        images, labels = self._images.numpy(), self._labels.numpy()
        # Whole batches, as for the other libraries; the default is 32 images.
        attack = make(classifier, batch_size=len(images), **request["arguments"])
        return lambda: attack.generate(images, labels)


def answer(libraries: Libraries, request: dict[str, Any]) -> tuple[dict, Any]:
    """What to print for a request, and the adversarial images [B, H, W, C] or None."""
    try:
        counted, attack = libraries.prepare(request)
        _seed(request["seed"])
        before = counted.forwards, counted.backwards
        start = time.perf_counter()
        found = attack()
        seconds = time.perf_counter() - start
    except Exception as error:  # A library that cannot is a row of the table.
        return {"error": f"{type(error).__name__}: {error}"}, None
    x_adv = np.asarray(found.detach() if isinstance(found, torch.Tensor) else found)
    n = len(x_adv)
    if request["library"] != "foolbox, JAX":
        channels = libraries.net.mean.shape[1]
        x_adv = x_adv[:, :channels].transpose(0, 2, 3, 1)
    return {
        "seconds": seconds,
        "forwards": (counted.forwards - before[0]) / n,
        "backwards": (counted.backwards - before[1]) / n,
    }, x_adv


def versions() -> dict[str, str]:
    """The version of every library, by the name that requests give it."""
    found = {name: metadata.version(d) for name, d in _DISTRIBUTIONS.items()}
    return {**found, "torch": torch.__version__, "jax": metadata.version("jax")}


def _find(library: str, name: str) -> Callable[..., Any]:
    module = {
        "art": "art.attacks.evasion",
        "autoattack": "pyautoattack",
        "foolbox": "foolbox.attacks",
        "torchattacks": "torchattacks",
    }[library]
    inner, _, name = name.rpartition(".")
    return getattr(importlib.import_module(f"{module}.{inner}".rstrip(".")), name)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (ART draws from the global state)
    torch.manual_seed(seed)


def _per_channel(problem: Problem, name: str) -> torch.Tensor:
    values = np.broadcast_to(problem[name], problem["images"].shape[-1:])
    return torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1, 1)


def _fill(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def _lines() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    """Serves one attack per line of stdin."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Libraries print; only answers belong on stdout.
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with np.load(sys.argv[1]) as file:
        libraries = Libraries(dict(file))
    start = {"versions": versions(), "threads": torch.get_num_threads()}
    print(json.dumps(start), file=answers)
    for request in _lines():
        said, x_adv = answer(libraries, request)
        if x_adv is not None:
            np.savez(sys.argv[2], x_adv=x_adv)
        print(json.dumps(said), file=answers)


if __name__ == "__main__":
    main()
