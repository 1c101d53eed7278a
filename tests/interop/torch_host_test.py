"""Modules of PyTorch as they are, by callback, with PyTorch's gradient."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch
from torch import nn

from robust_jax import attacks, evaluate, interop, threats
from robust_jax.core import closures, origin
from robust_jax.interop.host import name_of
from tests.torch_nets import Residual, images, made

EPS, STEP, STEPS = 0.05, 0.01, 5


class Branching(nn.Module):
    """It looks at values, so that torchax cannot read it."""

    def __init__(self):
        super().__init__()
        self.net, self.asked = Residual(), 0

    def forward(self, x):
        self.asked += 1
        scale = 2.0 if float(x.detach().sum()) > 0 else 1.0
        return self.net(x) * scale


def torch_pgd(net, x, y):
    """Of cross entropy, from the image itself, last iterate."""
    adv = x.clone()
    for _ in range(STEPS):
        adv.requires_grad_()
        loss = nn.functional.cross_entropy(net(adv), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, adv)
        adv = adv.detach() + STEP * slope.sign()
        adv = (x + (adv - x).clamp(-EPS, EPS)).clamp(0, 1)
    return adv


def jax_pgd(model):
    def loss(x, label):
        return -jax.nn.log_softmax(model(x))[label]

    def run(x, label):
        def step(_, adv):
            adv = adv + STEP * jax.numpy.sign(jax.grad(loss)(adv, label))
            return jax.numpy.clip(x + jax.numpy.clip(adv - x, -EPS, EPS), 0, 1)

        return jax.lax.fori_loop(0, STEPS, step, x)

    return jax.jit(jax.vmap(run))


def test_pgd_in_one_program_is_that_of_pytorch():
    net, x = made(Branching), images()
    y = net(x).argmax(1)
    model = interop.wrap_torch(net, x)
    assert origin.of(model).layout == "CHW"
    net.asked = 0
    ours = jax_pgd(model)(x.numpy(), y.numpy())
    jax.block_until_ready(ours)
    assert net.asked == STEPS  # A backward goes through the forward that there was.
    np.testing.assert_allclose(ours, torch_pgd(net, x, y), atol=1e-6)
    assert np.abs(ours - x.numpy()).max() > 0.04


def test_attacks_and_evaluations_take_it(tmp_path):
    """And a journal, which knows it by its weights."""
    net, x = made(Branching), images()
    model, y = interop.wrap_torch(net, x), net(x).argmax(1).numpy()
    plan = (evaluate.Stage("pgd", attacks.pgd(STEPS)),)
    given, threat = (x.numpy(), y), threats.Linf(0.3)
    journal = tmp_path / "journal"
    how = {"plan": plan, "audit": False, "journal": journal}
    report = evaluate.robustness(model, *given, threat, **how)
    assert report.clean.all() and report.robust_accuracy.value < 0.5
    with torch.no_grad():
        net.net.last.bias += 1e-4
    with pytest.raises(ValueError, match="journal"):
        evaluate.robustness(model, *given, threat, **how)


def test_its_name_is_that_of_its_weights_unless_it_is_given():
    def named(net, **how):
        model = interop.wrap_torch(net, images(), **how)
        program = jax.make_jaxpr(jax.value_and_grad(lambda x: model(x)[0]))
        found = closures.equations(program(images(1)[0].numpy()).jaxpr)
        called = [e for e in found if "callback" in e.primitive.name]
        (name,) = {name_of(one.params["callback"]) for one in called}
        return len(called), name

    assert named(made(Residual), name="v2") == (4, "v2")
    assert named(made(Residual)) == named(made(Residual))
    assert named(made(Residual))[1] != named(made(Residual, 1))[1]


def test_gradients_are_right_in_any_order():
    """Also of several cotangents of one forward, and of batches of batches."""
    net, x = made(Residual), images(6)
    model = interop.wrap_torch(net, x)
    flat = torch.autograd.functional.jacobian(lambda x: net(x).sum(0), x)
    expected = flat.transpose(0, 1).numpy()  # [B, K, *S]
    every = jax.vmap(jax.jacrev(model))
    np.testing.assert_allclose(every(x.numpy()), expected, atol=1e-6)
    two = jax.jit(jax.vmap(every))(x.numpy().reshape(3, 2, 3, 8, 8))
    np.testing.assert_allclose(two.reshape(expected.shape), expected, atol=1e-6)
    logits, back = jax.vjp(jax.vmap(model), x.numpy())
    for k in (0, 1):  # The second one finds no graph.
        (slope,) = back(jax.nn.one_hot(np.full(6, k), 4))
        np.testing.assert_allclose(slope, expected[:, k], atol=1e-6)
    np.testing.assert_allclose(logits, net(x).detach(), atol=1e-5)


def test_channels_may_be_last_and_weights_are_those_of_now():
    net, x = made(Residual), images(3)
    last = x.permute(0, 2, 3, 1)
    model = interop.wrap_torch(net, last, layout="HWC")
    assert origin.of(model).layout == "HWC"
    ask = jax.jit(jax.vmap(model))
    for _ in range(2):
        expected = net(x).detach()
        np.testing.assert_allclose(ask(last.numpy()), expected, atol=1e-5)
        with torch.no_grad():
            net.last.weight.mul_(2)


ON_ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, numpy as np, torch
torch.set_num_threads(1)
from robust_jax import interop
net = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(),
                          torch.nn.Linear(48, 4)).eval()
images = np.ones((64, 3, 64, 64), np.float32)
model = interop.wrap_torch(net, images[:1])
program = jax.jit(jax.vmap(jax.value_and_grad(lambda x: model(x)[0])))
for _ in range(20):
    values, slopes = program(images)
print(slopes.block_until_ready().shape)  # A callback must not outlive Python.
"""


def test_on_one_core_a_large_batch_ends():
    end = subprocess.run(
        [sys.executable, "-c", ON_ONE_CORE],
        env={**os.environ, "NPROC": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert end.stdout.strip() == "(64, 3, 64, 64)", end.stderr


def test_training_mode_is_refused_when_it_is_asked():
    net = made(Residual)
    model = interop.wrap_torch(net, images())
    net.train()
    with pytest.raises(Exception, match="is in training mode; call module.eval"):
        jax.block_until_ready(jax.vmap(model)(images().numpy()))


@pytest.mark.parametrize(
    ("module", "options", "part"),
    [
        (3, {}, "module=3; expected a torch.nn.Module"),
        (Residual(), {}, "it is in training mode"),
        (made(Residual), {"name": ""}, "name=''; expected a text"),
        (made(Residual), {"layout": "CWH"}, "layout='CWH'; expected 'CHW' or 'HWC'"),
        (nn.Linear(9, 2).eval(), {}, "does not take a batch of shape"),
    ],
)
def test_bad_arguments_are_one_sentence(module, options, part):
    with pytest.raises((ValueError, TypeError), match=part):
        interop.wrap_torch(module, images(), **options)
