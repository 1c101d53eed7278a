"""Finds an attack of another library and makes it a call without arguments."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from counted_nets import CountedFunction, CountedNet
from serving import Problem

Attack = Callable[[], Any]

_MODULES = {
    "adv_lib": "adv_lib.attacks",
    "art": "art.attacks.evasion",
    "autoattack": "pyautoattack",
    "foolbox": "foolbox.attacks",
    "torchattacks": "torchattacks",
}
_ADV_LIB = (
    "adv_lib is not installed, and PyPI has it not; run .venv-peers/bin/pip install "
    "git+https://github.com/jeromerony/adversarial-library"
)


class Libraries:
    """Every library's attacks on one problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.net = CountedNet(problem)
        images = np.ascontiguousarray(problem["images"].transpose(0, 3, 1, 2))
        self._images = torch.from_numpy(images)
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
        labels = self._runners_up() if request.get("runner_up") else self._labels
        if kind == "torchattacks":
            attack = make(self.net, **request["arguments"])
            if request.get("runner_up"):
                attack.set_mode_targeted_by_label(quiet=True)
            return self.net, lambda: attack(self._expanded(request), labels)
        if kind == "adv_lib":
            given = request["arguments"]
            return self.net, lambda: make(
                self.net, self._images.clone(), labels, **given
            )
        if kind == "autoattack":
            arguments = {"device": "cpu", "seed": request["seed"]}
            attack = make(self.net, **arguments, **request["arguments"])
            if request["attack"] == "AutoAttack":
                options = {"batch_size": request["batch"]}
                run = attack.run_standard_evaluation  # gives images and answers
                return self.net, lambda: run(self._images, self._labels, **options)[0]
            return self.net, lambda: attack.perturb(self._images, self._labels)
        return self.net, self._art(make, request, labels)

    def _runners_up(self) -> torch.Tensor:
        """The second likeliest class of each image."""
        return self.net(self._images).topk(2).indices[:, 1]

    def _expanded(self, request: dict[str, Any]) -> torch.Tensor:
        channels = max(request.get("channels", 1), self._images.shape[1])
        return self._images.expand(-1, channels, -1, -1)

    def _foolbox(self, request: dict[str, Any]) -> Attack:
        foolbox = importlib.import_module("foolbox")
        given = dict(request["arguments"])
        if "init_attack" in given:  # An attack by name, with arguments of its own.
            start = dict(given["init_attack"])
            given["init_attack"] = _find("foolbox", start.pop("attack"))(**start)
        attack = _find("foolbox", request["attack"])(**given)
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

    def _art(
        self, make: Callable[..., Any], request: dict[str, Any], labels: torch.Tensor
    ) -> Attack:
        estimators = importlib.import_module("art.estimators.classification")
        classifier = estimators.PyTorchClassifier(
            self.net,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(self._images.shape[1:]),
            nb_classes=int(self._problem["num_classes"]),
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        images = self._images.numpy()
        # Whole batches, as for the other libraries, unless the request says otherwise.
        arguments = {"batch_size": len(images), **request["arguments"]}
        attack = make(classifier, **arguments)
        return lambda: attack.generate(images, labels.numpy())


def _find(library: str, name: str) -> Callable[..., Any]:
    if library == "adv_lib" and importlib.util.find_spec("adv_lib") is None:
        raise ModuleNotFoundError(_ADV_LIB)
    inner, _, name = name.rpartition(".")
    module = importlib.import_module(f"{_MODULES[library]}.{inner}".rstrip("."))
    return getattr(module, name)
