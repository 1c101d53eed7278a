"""Modules of PyTorch as functions of JAX: the same numbers, and nothing is changed."""

import copy
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robust_jax import evaluate, interop, threats
from robust_jax.core import extras, origin
from robust_jax.interop import torchax_reading
from tests.torch_nets import Attention, Residual, groups, images, made


def small(act=None, seed=0):
    return made(lambda: Small(act), seed)


class Small(nn.Module):
    """A line, after whatever a test wants done to its input."""

    def __init__(self, act=None):
        super().__init__()
        self.act = act
        self.line = nn.Linear(6, 3)

    def forward(self, x):
        return self.line(x if self.act is None else self.act(x))


EXAMPLE = torch.linspace(0, 1, 12).reshape(2, 6)


@pytest.mark.parametrize("make", [Residual, Attention, groups])
def test_logits_and_gradients_are_those_of_pytorch(make):
    net, x = made(make), images()
    model = interop.from_torch(net, x, images=x)
    found = origin.of(model).parity
    assert found.images == found.same_class == 8
    assert found.logits <= 1e-5 and found.gradients <= 1e-10  # In float64.
    expected = net(x).detach().numpy()
    ours = jax.vmap(model)(x.numpy())
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())
    assert origin.of(model).layout == "CHW"


def test_its_gradient_is_that_of_pytorch():
    """Apart from what the adapter says of itself."""
    net, x = made(Residual), images(1)
    model = interop.from_torch(net, x)
    slope = jax.grad(lambda x: model(x)[1] - model(x)[0])(x[0].numpy())
    x = x.requires_grad_()
    (net(x)[0, 1] - net(x)[0, 0]).backward()
    np.testing.assert_allclose(slope, x.grad[0].numpy(), atol=1e-6)


def test_weights_go_by_the_names_of_the_state():
    net = made(Residual)
    model = interop.from_torch(net, images())
    assert set(model.args[0]) == {*net.state_dict(), "mean"}
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(model.args[0][name], value.numpy())


def test_new_weights_of_the_same_module_do_not_retrace():
    traced = 0

    @jax.jit
    def ask(model, x):
        nonlocal traced
        traced += 1
        return model(x)

    x = images(1)[0]
    for net in (made(Residual), made(Residual, 1), copy.deepcopy(made(Residual, 2))):
        ours = ask(interop.from_torch(net, x), x.numpy())
        np.testing.assert_allclose(ours, net(x[None])[0].detach(), atol=1e-5)
    assert traced == 1
    # As many weights of the same shapes, and another net.
    other = made(Residual)
    other.block.convs[0].padding_mode = "circular"
    ours = ask(interop.from_torch(other, x), x.numpy())
    np.testing.assert_allclose(ours, other(x[None])[0].detach(), atol=1e-5)
    assert traced == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (small(torch.tanh), small(torch.tanh, 1), True),
        (small(torch.tanh), small(torch.sin), False),
        (small(functional.relu), small(functional.gelu), False),
        (small(nn.LeakyReLU(0.1)), small(nn.LeakyReLU(0.2)), False),
        (small(nn.LeakyReLU(0.1)), small(nn.LeakyReLU(0.1)), True),
        (small(lambda x: 2 * x), small(lambda x: 3 * x), False),
        *(
            (small(scaled(2)), small(scaled(factor)), factor == 2)
            for scaled in (lambda f: lambda x: f * x,)
            for factor in (2, 3)
        ),
    ],
)
def test_two_modules_are_one_only_if_they_compute_the_same(one, other, same):
    one, other = (interop.from_torch(net, EXAMPLE).func for net in (one, other))
    assert (one == other) == same
    assert not same or hash(one) == hash(other)


def test_tied_weights_tell_modules_apart():
    def net(is_tied):
        made = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)).eval()
        if is_tied:
            made[1].weight = made[0].weight
        return made

    tied, free = (interop.from_torch(net(t), EXAMPLE) for t in (True, False))
    assert tied.func != free.func
    assert set(tied.args[0]) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_later_changes_of_the_module_do_not_reach_the_function():
    net = small()
    model = interop.from_torch(net, EXAMPLE)
    before = model(EXAMPLE[0].numpy())
    with torch.no_grad():
        net.line.weight.zero_()
    net.act = torch.sin
    np.testing.assert_array_equal(model(EXAMPLE[0].numpy()), before)


class Counting(nn.Module):
    """Writes to its buffer each time it is asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros(1))
        self.line = nn.Linear(6, 3)

    def forward(self, x):
        self.asked += 1
        return self.line(x)


def test_the_module_and_pytorch_stay_as_they_were():
    net = made(Counting).double()
    net.line.weight.requires_grad_(False)
    net.line.bias.grad = torch.ones(3, dtype=torch.float64)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    drawn, fast = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    interop.from_torch(net, EXAMPLE)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.get_default_device() == torch.device("cpu")
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert "ENABLE_RUNTIME_UPTIME_TELEMETRY" not in os.environ
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) and type(value) is torch.Tensor
        assert value.device.type == "cpu" and value.dtype == torch.float64
    assert [p.requires_grad for p in net.line.parameters()] == [False, True]
    assert net.line.bias.grad.sum() == 3 and not net.training


def test_plain_pytorch_works_after():
    interop.from_torch(small(), EXAMPLE)
    net = nn.DataParallel(small())  # Takes whatever accelerator there seems to be.
    assert type(torch.ones(2) + 1) is torch.Tensor
    assert not torch.accelerator.is_available()
    with torch.random.fork_rng():
        torch.manual_seed(0)
    assert net(EXAMPLE).device.type == "cpu"
    net(EXAMPLE).sum().backward()
    assert net.module.line.weight.grad.device.type == "cpu"


def test_torchax_loads_only_with_what_went_from_pytorch():
    """When this fails, torchax no longer needs `_operators_that_went`: remove it."""
    from importlib import metadata

    assert metadata.version("torchax") == "0.0.13"
    assert "aten.prod.dim_Dimname" in torchax_reading.libraries().mended
    with pytest.raises(AttributeError):
        _ = torch.ops.aten.prod.dim_Dimname  # As before.


def test_channels_may_be_last():
    net, x = made(Residual), images(4)
    last = x.permute(0, 2, 3, 1)
    model = interop.from_torch(net, last, layout="HWC", images=last)
    assert origin.of(model).layout == "HWC" and origin.of(model).parity.is_close
    ours = jax.vmap(model)(last.numpy())
    np.testing.assert_allclose(ours, net(x).detach(), atol=1e-5)
    assert model.func != interop.from_torch(net, x).func


@pytest.mark.parametrize(
    "example", [EXAMPLE, EXAMPLE[0], EXAMPLE.double().numpy(), np.asarray(EXAMPLE[:1])]
)
def test_one_example_or_a_batch_of_them(example):
    model = interop.from_torch(small(), example)
    assert model(EXAMPLE[0].numpy()).shape == (3,)
    assert origin.of(model).layout is None


def test_images_are_one_example_and_a_batch_too():
    for x in (images(1)[0], images(3)):
        assert interop.from_torch(groups().eval(), x)(
            x.numpy()[-3:].reshape(-1, 8, 8)[-3:]
        ).shape == (4,)


def test_half_precision_stays_and_logits_are_float32():
    net = small().bfloat16()
    model = interop.from_torch(net, EXAMPLE)
    assert model.args[0]["line.weight"].dtype == jnp.bfloat16
    assert model(EXAMPLE[0].numpy()).dtype == jnp.float32


def test_detach_stops_the_gradient_here_too():
    """As in quantised nets: straight through."""
    net = small(lambda x: x + (torch.round(4 * x) / 4 - x).detach())
    model = interop.from_torch(net, EXAMPLE)
    assert origin.of(model).parity.gradients <= 1e-10
    slope = jax.grad(lambda x: model(x)[0])(EXAMPLE[1].numpy())
    np.testing.assert_allclose(slope, net.line.weight[0].detach(), atol=1e-6)


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0, keepdim=True)


def test_the_first_part_that_differs_is_named():
    """It looks at the other examples of the batch, which a function of one cannot."""
    net = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.Tanh(), Centred()), nn.ReLU())
    found = origin.of(interop.from_torch(net.eval(), EXAMPLE)).parity
    assert not found.is_close and found.differs == "1.1"
    assert not any(part._forward_hooks for part in net.modules())


@pytest.mark.parametrize(
    ("net", "part"),
    [
        (
            small(lambda x: x if x.sum() > 0 else -x),
            "decides by values .*interop.wrap_torch",
        ),
        (small(lambda x: x * x.max().item()), "decides by values .*interop.wrap_torch"),
        (small(functional.dropout), "draws random numbers .* such as dropout"),
        (
            small(lambda x: x * torch.hann_window(6)),
            "hann_window has .*interop.wrap_torch",
        ),
        (small(lambda x: x + torch.zeros(6, device="cpu")), "register_buffer, or take"),
        (small(lambda x: [x]), "does not take a batch of shape .2, 6.*check the exam"),
        (Small(), "Small: it is in training mode; call module.eval"),
        (nn.Sequential(small(), nn.Dropout()), "it is in training mode"),
        (
            nn.Sequential(
                nn.Linear(6, 3), nn.BatchNorm1d(3, track_running_stats=False)
            ),
            "its part '1' has no running statistics",
        ),
        (nn.LSTM(6, 3), "gives tuple; expected a tensor of logits"),
        (nn.Linear(6, 1), r"an answer of shape \(2, 1\) for a batch"),
        (nn.Linear(7, 3), r"does not take a batch of shape \(2, 6\) \(mat1 and mat2"),
        (nn.Linear(6, 3, device="meta"), "has no numbers in 'weight'"),
        (nn.LazyLinear(3), "has weights of no shape yet"),
        (torch.jit.trace(small(), EXAMPLE), "is a program of torch.jit"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(net, part):
    if part.find("training mode") < 0:
        net = net.eval()
    elif isinstance(net, nn.Sequential):
        net[0].eval()
    with pytest.raises(ValueError, match=part) as raised:
        interop.from_torch(net, EXAMPLE)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"module": 3}, "module=3; expected a torch.nn.Module"),
        ({"example": torch.ones(2, 6, dtype=torch.uint8)}, "example=uint8 of shape"),
        ({"layout": "NCHW"}, "layout='NCHW'; expected 'CHW' or 'HWC'"),
        ({"layout": "HWC"}, r"layout='HWC' with an example of shape \(2, 6\)"),
        ({"images": torch.ones(2, 7)}, r"images of shape \(7,\); expected \(6,\)"),
    ],
)
def test_bad_arguments_are_one_sentence(options, part):
    with pytest.raises((ValueError, TypeError), match=part):
        interop.from_torch(**{"module": small(), "example": EXAMPLE, **options})


@pytest.mark.parametrize("missing", ["torch", "torchax"])
def test_a_missing_library_is_one_sentence(monkeypatch, missing):
    def find(name):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=missing)
        return torch

    torchax_reading.libraries.cache_clear()
    monkeypatch.setattr(extras.importlib, "import_module", find)
    try:
        with pytest.raises(ImportError, match=f"from_torch needs {missing}, which is"):
            interop.from_torch(small(), EXAMPLE)
    finally:
        torchax_reading.libraries.cache_clear()


def test_a_module_that_is_given_as_it_is_says_how_it_comes_in():
    image, threat = np.zeros((2, 6), np.float32), threats.Linf(0.1)
    with pytest.raises(TypeError, match=r"Small, a module of PyTorch; pass interop"):
        evaluate.attack("pgd", small(), image, [0, 1], threat)
