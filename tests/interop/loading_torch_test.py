"""Models of PyTorch, robustbench and ONNX by a text: the logits of the original."""

import sys

import jax
import numpy as np
import pytest

import robust_jax as rj
from robust_jax.core import origin

IMAGES = np.random.default_rng(0).random((3, 4, 4, 2), dtype=np.float32)
TORCH = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.norm = torch.nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))

def tensor():
    return torch.zeros(3)
"""
ZOO = """
import enum
from users_torch import Net

class Threat(enum.Enum):
    Linf = "Linf"
    L2 = "L2"

model_dicts = {"cifar10": {
    Threat.Linf: {"Mine": {"model": Net}, "Twice": {"model": Net}},
    Threat.L2: {"Twice": {"model": Net}},
}}
"""


def asked(model):
    return jax.vmap(model)(IMAGES)


@pytest.fixture
def torch_nets(tmp_path, monkeypatch):
    """A module of PyTorch's user, weights, and a package as robustbench is one."""
    torch = pytest.importorskip("torch")
    (tmp_path / "users_torch.py").write_text(TORCH)
    (tmp_path / "robustbench" / "model_zoo").mkdir(parents=True)
    (tmp_path / "robustbench" / "__init__.py").touch()
    (tmp_path / "robustbench" / "model_zoo" / "__init__.py").touch()
    (tmp_path / "robustbench" / "model_zoo" / "models.py").write_text(ZOO)
    monkeypatch.syspath_prepend(tmp_path)
    import users_torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = users_torch.Net()
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.1 * (name == "norm.running_var"))
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "net.pt")
    yield tmp_path, net.eval()
    for name in [
        n for n in sys.modules if n.startswith(("users_torch", "robustbench"))
    ]:
        del sys.modules[name]


@pytest.mark.parametrize("spec", ["torch:users_torch:Net", "robustbench:Mine"])
def test_a_module_of_pytorch_with_a_state_dict(torch_nets, spec):
    import torch

    folder, net = torch_nets
    x = (2 * IMAGES - 1).transpose(0, 3, 1, 2)
    expected = net(torch.from_numpy(np.ascontiguousarray(x))).detach().numpy()
    given = {"weights": folder / "net.pt", "input_range": (-1, 1), "layout": "HWC"}
    model = rj.load_model(spec, images=IMAGES, **given)
    np.testing.assert_allclose(asked(model), expected, rtol=1e-5, atol=1e-6)
    said = origin.of(model)
    assert said.layout == "HWC" and said.parity.images == 3 and said.parity.is_close


def test_a_module_without_weights_is_loaded_and_said_so(torch_nets, caplog):
    folder, _ = torch_nets
    given = {"images": IMAGES, "layout": "HWC"}
    rj.load_model("torch:users_torch:Net", weights=folder / "net.pt", **given)
    assert "without weights" not in caplog.text
    rj.load_model("torch:users_torch:Net", **given)
    assert "model=torch:users_torch:Net without weights" in caplog.text


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("torch:users_torch:Net", ValueError, "traced on an image; pass example= or"),
        ("torch:users_torch:tensor", TypeError, "expected a torch.nn.Module"),
        ("robustbench:Mine", ValueError, "robustbench:Mine has no weights; pass weig"),
        ("robustbench:Mime", ValueError, "has no weights"),
        ("robustbench:Twice", ValueError, "has no weights"),
    ],
)
def test_what_is_wrong_with_a_module_of_pytorch(torch_nets, spec, error, said):
    with pytest.raises(error, match=said):
        rj.load_model(spec)


def test_names_of_the_package_and_other_weights(torch_nets):
    folder, _ = torch_nets
    given = {"weights": folder / "net.pt", "images": IMAGES, "layout": "HWC"}
    with pytest.raises(ValueError, match="did you mean 'Mine'"):
        rj.load_model("robustbench:Mime", **given)
    with pytest.raises(ValueError, match="one of cifar10/L2/Twice, cifar10/Linf/Twice"):
        rj.load_model("robustbench:Twice", **given)
    np.savez(folder / "other.npz", **{"conv.weight": np.zeros((3, 2, 3, 3))})
    with pytest.raises(ValueError, match="other.npz; the weights lack 'conv.bias'"):
        rj.load_model(
            "torch:users_torch:Net", **{**given, "weights": folder / "other.npz"}
        )


def test_a_graph_of_a_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    kernel = np.random.default_rng(2).normal(size=(3, 2, 4, 4)).astype(np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, ["n", 2, 4, 4])],
        [helper.make_tensor_value_info("y", kind, ["n", 3])],
        [onnx.numpy_helper.from_array(kernel, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    model = rj.load_model(f"onnx:{path}", images=IMAGES, layout="HWC", mean=[0.5, 0.1])
    x = (IMAGES - np.array([0.5, 0.1], np.float32)).transpose(0, 3, 1, 2)
    expected = np.einsum("nchw,kchw->nk", x, kernel)
    np.testing.assert_allclose(asked(model), expected, rtol=1e-4, atol=1e-5)
    assert origin.of(model).parity.is_close
