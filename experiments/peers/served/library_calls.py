"""Finds an attack of another library and makes it a call without arguments."""

import importlib
from collections.abc import Callable
from typing import Any

import jax
import torch
from torch import nn

from counted_nets import CountedFunction, CountedNet
from serving import Problem

Attack = Callable[[], Any]

_MODULES = {
    "art": "art.attacks.evasion",
    "autoattack": "pyautoattack",
    "foolbox": "foolbox.attacks",
    "torchattacks": "torchattacks",
}


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
            if request["attack"] == "AutoAttack":
                options = {"batch_size": request["batch"]}
                run = attack.run_standard_evaluation  # gives images and answers
                return self.net, lambda: run(self._images, self._labels, **options)[0]
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


def _find(library: str, name: str) -> Callable[..., Any]:
    inner, _, name = name.rpartition(".")
    module = importlib.import_module(f"{_MODULES[library]}.{inner}".rstrip("."))
    return getattr(module, name)
