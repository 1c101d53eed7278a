"""Attacks for scripts in PyTorch, and weights put into its modules."""

import numpy as np
import pytest
import torch
from torch import nn

import robust_jax as rj
from robust_jax import attacks, interop, threats
from robust_jax.core import compilation
from tests.torch_nets import Residual, images, made

EPS = 0.05


def line(seed=0):
    return made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), seed)


def problem(n=6):
    net, x = line(), 0.2 + 0.6 * images(n, (3, 2, 2))
    return net, x, net(x).argmax(1)


def test_tensors_go_in_and_come_out_of_the_same_kind():
    net, x, y = problem()
    x = x.double().contiguous(memory_format=torch.channels_last)
    attack = interop.torch_attack(attacks.fgsm(), threats.Linf(EPS))
    found = attack(net, x, y)
    assert (found.dtype, found.device, found.stride()) == (
        x.dtype,
        x.device,
        x.stride(),
    )
    assert (found - x).abs().max() <= EPS + 1e-6 and not found.requires_grad
    expected = rj.attack(
        attacks.fgsm(),
        interop.from_torch(net, x),
        x.float().numpy(),
        y.numpy(),
        threats.Linf(EPS),
    )
    np.testing.assert_allclose(found.float(), expected.x_adv, atol=1e-6)


def test_targets_are_reached_for():
    net, x, y = problem()
    targets = (y + 1) % 3
    attack = interop.torch_attack(attacks.pgd(10), threats.Linf(0.9))
    found = attack(net, x, y, targets=targets, seed=1)
    model, given = interop.from_torch(net, x), (x.numpy(), y.numpy())
    how = {"targets": targets.numpy(), "seed": 1}
    expected = rj.attack(attacks.pgd(10), model, *given, threats.Linf(0.9), **how)
    np.testing.assert_allclose(found, expected.x_adv, atol=1e-6)
    assert (net(found).argmax(1) == targets).float().mean() > 0.5


def test_a_list_of_radii_gives_a_list_and_nothing_compiles_twice():
    net, x, y = problem()
    attack = interop.torch_attack(attacks.fgsm(), threats.Linf(EPS))
    attack(net, x, y)
    with compilation.recorded() as made_anew:
        found = attack(net, x[:4], y[:4], epsilons=[0.0, 0.01, 0.1])
        other = attack(line(1), x, y)
    assert made_anew.so_far.lowered == 0
    assert [round(float((f - x[:4]).abs().max()), 4) for f in found] == [0, 0.01, 0.1]
    assert other.shape == x.shape


def test_a_module_is_attacked_with_the_weights_that_it_has():
    net, x, y = problem()
    attack = interop.torch_attack(attacks.fgsm(), threats.Linf(EPS))
    before = attack(net, x, y)
    with torch.no_grad():
        net[1].weight.neg_()
        net[1].bias.neg_()
    y = net(x).argmax(1)
    after = attack(net, x, y)
    assert not torch.equal(before, after)
    assert ((after - x).abs().amax((1, 2, 3)) > 0.9 * EPS).all()
    margin = net(after).gather(1, y[:, None]) - net(x).gather(1, y[:, None])
    assert (margin <= 1e-6).all()


class Negative(nn.Module):
    def forward(self, x):
        return -x


def test_another_structure_of_the_same_module_is_read_anew():
    net, x, y = problem()
    attack = interop.torch_attack(attacks.fgsm(), threats.Linf(EPS))
    attack(net, x, y)
    net.append(Negative()).train()
    with pytest.raises(ValueError, match="in training mode"):
        attack(net, x, y)
    y = net.eval()(x).argmax(1)
    assert ((attack(net, x, y) - x).abs().amax((1, 2, 3)) > 0.9 * EPS).all()


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"x": np.ones((6, 3, 2, 2))}, "expected a tensor of images"),
        ({"y": torch.zeros(5, dtype=torch.long)}, "y.shape=.5,.; expected .6,."),
        ({"targets": torch.zeros(5, dtype=torch.long)}, "targets.shape=.5,."),
        ({"x": 2 * torch.ones(6, 3, 2, 2)}, "outside|beyond|box"),
        ({"epsilons": [-1.0]}, r"epsilons\[0\]=-1.0; expected a finite number >= 0"),
        ({"epsilons": []}, "epsilons=.*; expected a tuple of one or more"),
        ({"seed": -1}, "seed=-1"),
        (
            {"module": nn.Sequential(nn.Flatten(), nn.Linear(12, 3), Centred()).eval()},
            "first in '2'; expected examples that do not depend on each other",
        ),
    ],
)
def test_bad_input_is_one_sentence(given, part):
    net, x, y = problem()
    given = {"module": net, "x": x, "y": y, **given}
    attack = interop.torch_attack(attacks.fgsm(), threats.Linf(EPS))
    with pytest.raises((ValueError, TypeError), match=part):
        attack(**given)


def test_no_attack_and_no_threat_are_refused_at_once():
    with pytest.raises(TypeError, match="attack=3; expected an attack"):
        interop.torch_attack(3, threats.Linf(EPS))
    with pytest.raises(TypeError, match="threat=3"):
        interop.torch_attack(attacks.fgsm(), 3)


def test_weights_of_a_file_fill_a_module(tmp_path):
    path, net, other = tmp_path / "a.pt", made(Residual), made(Residual, 1)
    state = {f"module.{k}": v for k, v in net.state_dict().items()}
    torch.save({"state_dict": state}, path)
    interop.load_torch_weights(other, path)
    assert torch.equal(other(images()), net(images())) and not other.training


def test_weights_that_do_not_fit_leave_the_module_as_it_is(tmp_path):
    path, net = tmp_path / "a.pt", made(Residual)
    state = dict(made(Residual, 1).state_dict())
    before = net.first.weight.clone()
    torch.save({**state, "last.bias": torch.zeros(9)}, path)
    with pytest.raises(ValueError, match=r"'last.bias' of shape \(9,\), and .*\(4,\)"):
        interop.load_torch_weights(net, path)
    del state["last.bias"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"a.pt; the weights lack 'last.bias'"):
        interop.load_torch_weights(net, path)
    assert torch.equal(net.first.weight, before)
