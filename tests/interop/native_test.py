"""PyTorch's weights in our own nets: the same logits and gradients, or one sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from robust_jax import interop, models
from robust_jax.core import origin
from robust_jax.models import bottleneck
from tests.reference import torch_nets

torch.set_num_threads(1)
SHAPE = (32, 32, 3)
PLAIN = {"mean": 0.0, "std": 1.0}
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
CHANNELS = {"mean": MEAN, "std": STD}
FEW = (1, 2, 1, 1)  # Blocks of a ResNet-50 that compiles soon.
# The net in PyTorch, the side of its images, what its weights do not say, our own.
CASES = {
    "trades": (torch_nets.trades, 16, PLAIN, models.WideResNet),
    "deepmind": (
        torch_nets.deepmind, 16, {**CHANNELS, "activation": "silu"}, models.WideResNet
    ),
    "wong": (torch_nets.preact, 16, {**PLAIN, "layout": "wong"}, models.PreActResNet18),
    "rice": (
        lambda: torch_nets.preact("activated", last_norm=True),
        16, {**PLAIN, "layout": "rice"}, models.PreActResNet18,
    ),
    "deepmind_preact": (
        torch_nets.deepmind_preact,
        16, {**CHANNELS, "activation": "silu"}, models.PreActResNet18,
    ),
    "resnet18": (torch_nets.resnet, 16, PLAIN, models.ResNet18),
    "resnet50": (
        lambda: torch_nets.resnet(FEW, deep=True, imagenet=True),
        46, PLAIN, models.ResNet,
    ),
}  # fmt: skip


def wide():
    return torch_nets.perturbed(torch_nets.trades())


def load(net, **given):
    state = net if isinstance(net, dict) else net.state_dict()
    return interop.load_native(state, input_shape=SHAPE, **given)


def same_variables(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@jax.jit
def answers(logits_fn, x, weights):
    logits, pull = jax.vjp(logits_fn, x)
    return logits, pull(weights)[0]


@pytest.mark.parametrize("kind", CASES)
def test_logits_and_gradients_are_those_of_pytorch(kind, monkeypatch):
    """In float64, where a unit at its kink does not change sides by rounding."""
    monkeypatch.setitem(bottleneck.BLOCKS, 50, FEW)
    make, side, given, ours = CASES[kind]
    net = torch_nets.perturbed(make()).double()
    normalisation = (given[name] * np.ones(3) for name in ("mean", "std"))
    whole = torch_nets.Normalised(net, *normalisation)
    rng = np.random.default_rng(0)
    x, weights = rng.uniform(size=(2, side, side, 3)), rng.normal(size=(2, 5))
    given_x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    logits = whole(given_x)
    logits.backward(torch.from_numpy(weights))
    with jax.enable_x64(True):
        found = interop.load_native(net, input_shape=x.shape[1:], **given)
        assert type(found.module) is ours
        y, gradient = answers(found.logits_fn, jnp.asarray(x), jnp.asarray(weights))
    expected = given_x.grad.numpy().transpose(0, 2, 3, 1)
    logits = logits.detach().numpy()
    np.testing.assert_allclose(y, logits, atol=1e-10 * np.abs(logits).max())
    np.testing.assert_allclose(gradient, expected, atol=1e-9 * np.abs(expected).max())


def wrapped(state):
    """The same weights as wrappers and trainers keep them, with mean and std."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    under = lambda prefix: {prefix + k: v for k, v in state.items()}  # noqa: E731
    return {
        "normalize": {
            "normalize.mean": mean, "normalize.std": std, **under("model.")
        },
        "buffers": {**state, "mu": mean, "sigma": std},
        "parallel": {
            "module.normalizer.new_mean": mean, "module.normalizer.new_std": std,
            "module.attacker.normalize.new_mean": mean, **under("module.model."),
            **under("module.attacker.model."),
        },
        "sequential": {"0.mean": mean.flatten(), "0.std": std.flatten(), **under("1.")},
        "averaged": {
            "n_averaged": torch.tensor(3), "module.mean": mean, "module.std": std,
            **under("module."),
        },
        "unused": {
            **state, "mean": mean, "std": std,
            "sub_block1.layer.0.conv1.weight": torch.zeros(16, 16, 3, 3),
        },
        "uncounted": {
            "mean": mean, "std": std,
            **{k: v for k, v in state.items() if "num_batches" not in k},
        },
    }  # fmt: skip


def test_wrappers_are_taken_off_and_their_normalisation_goes_inside():
    state = wide().state_dict()
    plain = load(state, **CHANNELS)
    assert plain.module == models.WideResNet(5, tuple(MEAN), tuple(STD), 10, 1)
    for name, given in wrapped(state).items():
        found = load(given)
        assert found.module.mean == pytest.approx(MEAN), name
        assert found.module.std == pytest.approx(STD), name
        same_variables(found.variables, plain.variables)
    module = models.by_name("wide_resnet", depth=10, width=1, num_classes=5)
    assert load(given, module=module).module == found.module


def test_a_file_of_a_trainer_holds_averages_that_are_taken(tmp_path):
    path, net = tmp_path / "last.pt", wide()
    old = torch_nets.perturbed(torch_nets.trades(), seed=1).state_dict()
    torch.save({"epoch": 3, "state_dict": old, "ema": net.state_dict()}, path)
    found = interop.load_native(path, "wide_resnet", input_shape=SHAPE, **PLAIN)
    same_variables(found.variables, load(net, **PLAIN).variables)
    expected = origin.Origin("torch weights last.pt into WideResNet", "HWC")
    assert origin.of(found.logits_fn) == expected
    half = {k: v.half() for k, v in net.state_dict().items()}
    assert load(half, **PLAIN).variables["params"]["Conv_0"]["kernel"].dtype == "f4"


def test_new_weights_run_the_same_program(tmp_path):
    count = 0

    @jax.jit
    def traced(logits_fn):
        nonlocal count
        count += 1
        return jax.tree.leaves(logits_fn)[0].sum()

    for seed in range(2):
        path = tmp_path / f"{seed}.pt"
        net = torch_nets.perturbed(torch_nets.trades(), seed)
        torch.save(net.state_dict(), path)
        found = interop.load_native(path, input_shape=SHAPE, **PLAIN)
        traced(found.logits_fn)
    assert count == 1


def test_what_came_in_is_saved_like_any_net(tmp_path):
    net = torch_nets.perturbed(torch_nets.preact())
    found = load(net, layout="wong", **CHANNELS)
    models.save(tmp_path / "net", found.module, found.variables, input_shape=SHAPE)
    back = models.load(tmp_path / "net")
    assert back.module == found.module and back.module.layout == "wong"
    same_variables(back.variables, found.variables)


def changed(**entries):
    """TRADES' weights with other ones; None takes one away."""
    state = wide().state_dict() | {k.replace("__", "."): v for k, v in entries.items()}
    return {k: v for k, v in state.items() if v is not None}


def deep():
    net = torch_nets.resnet((3, 4, 6, 3), deep=True, imagenet=True)
    return dict(net.state_dict())


def wrong(state=None, **given):
    return lambda: load(changed() if state is None else state, **{**PLAIN, **given})


WRONG = {
    "missing": (
        wrong(changed(block2__layer__0__bn2__running_var=None)),
        "the weights lack 'block2.layer.0.bn2.running_var', which the net has",
    ),
    "more": (
        wrong(changed(gate__weight=torch.zeros(3))),
        "the weights have 'gate.weight', which the net lacks",
    ),
    "shape": (
        wrong(changed(block2__layer__0__conv2__weight=torch.zeros(32, 32, 1, 1))),
        r"'block2.layer.0.conv2.weight' has shape \(32, 32, 1, 1\); expected "
        r"\(32, 32, 3, 3\) for WideResNet",
    ),
    "not finite": (
        wrong(changed(fc__bias=torch.full((5,), torch.nan))),
        "'fc.bias' has values that are not finite",
    ),
    "integers": (
        wrong(changed(fc__bias=torch.arange(5))),
        "'fc.bias' has numbers of type int64; expected floats",
    ),
    "another module": (
        lambda: load(wide(), module=models.PreActResNet18(5, width=4)),
        r"the weights lack 'conv1.weight'|they fit models.by_name\('wide_resnet', "
        "num_classes=5, depth=10, width=1, layout='trades'",
    ),
    "another depth": (
        lambda: load(wide(), module=models.WideResNet(5, depth=16, width=1)),
        "lack 'block1.layer.1.* they fit models.by_name.*depth=10",
    ),
    "another name": (
        wrong(module="resnet18"),
        "module='resnet18'; weights of 46 arrays are those of models.by_name.'wide_res",
    ),
    "no such name": (wrong(module="wideresnet"), "did you mean 'wide_resnet'"),
    "a module of another kind": (
        lambda: load(wide(), module=models.MLP()),
        "module=MLP.*; expected a WideResNet, PreActResNet18, ResNet18 or ResNet; take",
    ),
    "no net of ours": (
        wrong({"features.0.weight": torch.zeros(3)}),
        "the first is 'weight'. are those of no net that this library has",
    ),
    "nothing": (wrong({}), "weights of 0 arrays; names and shapes"),
    "shapes of another net": (wrong(changed(conv1__weight=torch.zeros(3))), "no net"),
    "no channels": (
        wrong(deep() | {"conv1.weight": torch.zeros(0, 3, 7, 7)}),
        "no net that this library has",
    ),
    "no normalisation": (
        lambda: load(wide(), std=1),
        "they do not say mean of models.by_name.'wide_resnet', .*; pass mean=0 and std",
    ),
    "no activation": (
        lambda: load(torch_nets.deepmind(), **PLAIN),
        "do not say activation of .*layout='deepmind'.; pass activation='relu' or",
    ),
    "no layout": (
        lambda: load(torch_nets.preact(), **PLAIN),
        "they do not say layout of .*; pass layout='rice' .* or 'wong'",
    ),
    "another count": (
        wrong(num_classes=10),
        "num_classes=10; weights of 46 arrays are those of .*num_classes=5,.*leave it",
    ),
    "no such attribute": (wrong(activations="silu"), "did you mean 'activation'"),
    "no such activation": (wrong(activation="tanh"), "'tanh'; expected relu or silu"),
    "in bytes": (wrong(mean=[125.3, 123.0, 113.9]), r"mean=125.3; .* divide mean and"),
    "no deviation": (wrong(std=(0.2, 0.2, 0.0)), "std=0.0; expected a finite number"),
    "no number": (wrong(std="1"), "std='1'; expected a finite number > 0"),
    "two channels": (
        wrong(mean=[0.1, 0.2]), r"WideResNet cannot be built for inputs of shape"
    ),
    "channels first": (
        lambda: interop.load_native(changed(), input_shape=(3, 32, 32), **PLAIN),
        r"'conv1.weight' has shape \(16, 3, 3, 3\); expected \(16, 32, 3, 3\) for "
        r"WideResNet on images \[H, W, C\] = \[3, 32, 32\]",
    ),
    "twice": (
        lambda: load(wide(), module=models.WideResNet(5), std=1),
        "std= beside module=.*; expected attributes in the module alone",
    ),
    "another normalisation": (
        lambda: load(
            changed(mean=torch.zeros(3)),
            module=models.WideResNet(5, (0.5,), depth=10, width=1),
        ),
        r"its mean is \(0.5,\), but that of weights of 47 arrays is \(0.0, 0.0, 0.0\)",
    ),
    "two normalisations": (
        wrong(changed(a__mean=torch.zeros(3), b__mean=torch.ones(3))),
        "a.mean and b.mean differ; pass the weights of one net",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_said_in_a_line(kind):
    attempt, said = WRONG[kind]
    with pytest.raises(ValueError, match=said) as caught:
        attempt()
    assert "\n" not in str(caught.value)
