"""ONNX files as functions: PyTorch's own exports, and files that are refused."""

import os
import re
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from robust_jax.core import compilation, origin
from robust_jax.interop import from_onnx
from robust_jax.interop.onnx import runtimes, structure

torch = pytest.importorskip("torch", reason="torch is not installed")
SHAPE = (3, 8, 8)


class Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(6)
        self.second = torch.nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=2)
        self.short = torch.nn.AvgPool2d(3, 2, 1)
        self.head = torch.nn.Linear(6, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.nn.functional.silu(self.second(x) + self.short(x))
        x = torch.nn.functional.adaptive_avg_pool2d(x, 1)
        return self.head(x.flatten(1))


class Attention(torch.nn.Module):
    """Tokens whose number is read off the image, as exporters write it."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 8, 4, stride=4)
        self.first = torch.nn.Parameter(torch.randn(1, 1, 8))
        self.norm = torch.nn.LayerNorm(8)
        self.mixed = torch.nn.Linear(8, 24)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1)
        batch, tokens, width = x.shape
        mixed = self.mixed(self.norm(x)).reshape(batch, tokens, 3, 2, width // 2)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        y = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + y.transpose(1, 2).reshape(batch, tokens, width)
        return self.head(torch.nn.functional.gelu(x[:, 0]))


def module_of(kind, seed=0):
    """A net with statistics of its own, in evaluation mode."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    module = kind()
    module(torch.rand(8, *SHAPE))  # Moves statistics.
    return module.eval()


def export(module, path, *, batch=2, free=True, opset=17, dtype=torch.float32):
    options = {"dynamic_axes": {"x": {0: "batch"}}} if free else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of an exporter that is on its way out.
        torch.onnx.export(
            module,
            (torch.rand(batch, *SHAPE, dtype=dtype),),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["logits"],
            **options,
        )
    return path


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("residual")
    return export(module_of(Residual), folder / "net.onnx")


@pytest.mark.parametrize(("kind", "opset"), [(Residual, 11), (Attention, 17)])
def test_a_net_of_torch_has_its_logits_and_gradients(kind, opset, tmp_path):
    net = from_onnx(export(module_of(kind), tmp_path / "net.onnx", opset=opset))
    known = origin.of(net)
    assert known.layout == "CHW" and known.source.startswith("onnx file of pytorch")
    assert known.source.endswith("compared with onnxruntime")
    assert known.parity.images == known.parity.same_class == 64
    assert known.parity.logits < 1e-6 and known.parity.differs is None


@pytest.mark.parametrize("kind", [Residual, Attention])
def test_it_has_them_in_64_bits(kind, tmp_path):
    module = module_of(kind).double()
    path = export(module, tmp_path / "net.onnx", dtype=torch.float64)
    images = np.random.default_rng(1).random((4, *SHAPE))
    theirs = torch.tensor(images, requires_grad=True)
    logits = module(theirs)
    (logits**2).sum().backward()
    with jax.enable_x64(True):
        net = from_onnx(path, images=images)

        def total(x):
            logits = net(x)
            return (logits**2).sum(), logits

        gradient = jax.jit(jax.vmap(jax.grad(total, has_aux=True)))
        gradients, found = gradient(jnp.asarray(images))
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, logits.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradients, theirs.grad.numpy(), rtol=1e-8, atol=1e-12)


def test_other_weights_of_the_same_graph_compile_nothing(residual, tmp_path):
    asked = jax.jit(lambda net, x: net(x))
    module = module_of(Residual, seed=1)
    other = export(module, tmp_path / "other.onnx")
    x = np.random.default_rng(2).random(SHAPE, np.float32)
    asked(from_onnx(residual), x)
    with compilation.recorded() as made:
        found = asked(from_onnx(other), x)
    assert made.so_far.lowered == 0
    wanted = module(torch.tensor(x)[None])[0].detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_it_computes_under_the_strictest_settings(residual):
    net, x = from_onnx(residual), np.ones(SHAPE, np.float32)
    strict = jax.numpy_dtype_promotion("strict")
    with strict, jax.numpy_rank_promotion("raise"):
        found = net(x)
    np.testing.assert_array_equal(found, net(x))


def test_a_batch_of_one_is_called_for_each_example(residual, tmp_path):
    path = export(module_of(Residual), tmp_path / "one.onnx", batch=1, free=False)
    images = np.random.default_rng(3).random((5, *SHAPE), np.float32)
    net = from_onnx(path, images=images)
    assert origin.of(net).parity.images == 5
    found = jax.vmap(net)(images)
    np.testing.assert_allclose(found, jax.vmap(from_onnx(residual))(images), rtol=1e-5)


def test_a_fixed_batch_is_refused(tmp_path):
    path = export(module_of(Residual), tmp_path / "two.onnx", free=False)
    with pytest.raises(ValueError, match=r"fixed batch of 2.*export with a free batch"):
        from_onnx(path)


def test_weights_beside_the_file_are_read_and_missed(residual, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(
        onnx.load(residual),
        path,
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    x = np.random.default_rng(4).random(SHAPE, np.float32)
    np.testing.assert_array_equal(from_onnx(path)(x), from_onnx(residual)(x))
    os.remove(tmp_path / "net.data")
    with pytest.raises(FileNotFoundError, match=r"'net.data', which is not beside it"):
        from_onnx(path)


def test_files_outside_of_the_folder_are_not_read(residual, tmp_path):
    model = onnx.load(residual)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1 << 12))
    (tmp_path / "nets").mkdir()
    for tensor in model.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, "../secret")
        tensor.ClearField("raw_data")
    path = tmp_path / "nets" / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"in a file that cannot be read"):
        from_onnx(path)


def test_what_is_no_onnx_file_is_refused(residual, tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(FileNotFoundError, match=r"expected an ONNX file"):
        from_onnx(path)
    whole = residual.read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2], whole[:-3]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"no ONNX model, or only a part of one"):
            from_onnx(path)
    with pytest.raises(TypeError, match=r"path="):
        from_onnx(7)


def test_a_file_that_breaks_the_rules_is_refused_in_a_sentence(residual, tmp_path):
    model = onnx.load(residual)
    model.graph.initializer[0].data_type = 0
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"net.onnx' cannot be read: "):
        from_onnx(path)


def graph_of(body, given="float[N,4] x", result="float[N,K] y", opset=17):
    domains = f'"" : {opset}, "com.microsoft" : 1'
    text = f"<ir_version: 10, opset_import: [{domains}]> g ({given}) => ({result})"
    return onnx.parser.parse_model(f"{text} {{ {body} }}")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (graph_of("y = Loup(x)"), r"node 'y' \(Loup\) is of an operator that is not"),
        (graph_of("y = com.microsoft.Gelu(x)"), r"com.microsoft.Gelu, which is of an"),
        (
            graph_of(
                "c = Constant<value = bool {1}>() y = If(c) <then_branch = t () => "
                "(float[N,4] a) { a = Identity(x) }, else_branch = e () => "
                "(float[N,4] b) { b = Neg(x) }>"
            ),
            r"node 'y' \(If\) is control flow",
        ),
        (graph_of("y = Abs(x)", opset=24), r"opset 24; read are 11 to 23"),
        (graph_of("y = Abs(x)", opset=10), r"opset 10; read are 11 to 23"),
        (
            graph_of("y = Add(x, z)", "float[N,4] x, float[N,4] z"),
            r"has the inputs \['x', 'z'\]; expected one",
        ),
        (
            graph_of("y = Abs(x) z = Neg(x)", result="float[N,4] y, float[N,4] z"),
            r"has the outputs \['y', 'z'\]; expected one",
        ),
        (graph_of("y = Abs(x)", result="float[N,4] x"), r"gives its output 'x'"),
        (graph_of("y = Abs(x)", "int64[N,4] x"), r"ONNX's type 7; expected floats"),
        (graph_of("y = Abs(x)", "float x"), r"has no batch axis"),
        (graph_of("y = Abs(x)", "float[N,C] x"), r"has free axes.*give images"),
        (graph_of("y = Abs(x)", "float[N,2,2] x"), r"gives \(2, 2\) for an image"),
        (
            graph_of("s = Shape(x) f = Cast<to=1>(s) y = Add(x, f)"),
            r"\(Add\) cannot be computed of inputs of shape",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_graph_that_is_not_read_is_refused_by_its_first_reason(
    model, reason, tmp_path
):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=rf"^path='.*net.onnx': .*{reason}") as refusal:
        from_onnx(path)
    assert "\n" not in str(refusal.value)


def test_images_and_layouts_that_do_not_fit_are_refused(residual):
    with pytest.raises(ValueError, match=r"images.shape=\(2, 8, 8, 3\); expected"):
        from_onnx(residual, images=np.zeros((2, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"layout='NCHW'; expected 'CHW', 'HWC'"):
        from_onnx(residual, layout="NCHW")


@pytest.mark.parametrize(
    ("body", "sides", "layout"),
    [
        ("t = Transpose<perm = [0, 3, 1, 2]>(n) y = Flatten(t)", "N,8,8,3", "HWC"),
        ("t = Transpose<perm = [0, 3, 1, 2]>(n) y = Flatten(t)", "N,3,9,8", "HWC"),
        ("y = Flatten(n)", "N,8,8,1", "HWC"),
        ("y = Flatten(n)", "N,1,8,8", "CHW"),
        ("y = Flatten(n)", "N,8", None),
    ],
)
def test_the_layout_is_read_off_the_graph(body, sides, layout, tmp_path):
    path = tmp_path / "net.onnx"
    model = graph_of(f"n = Neg(x) {body}", f"float[{sides}] x")
    path.write_bytes(model.SerializeToString())
    assert origin.of(from_onnx(path)).layout == layout
    assert origin.of(from_onnx(path, layout="CHW")).layout == "CHW"


def test_the_first_value_that_differs_is_named(residual, monkeypatch):
    of = runtimes.of

    def other(model, names=None):
        """As onnxruntime, of a net whose second bias is another."""
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        bias = next(t for t in copy.graph.initializer if t.name == "second.bias")
        bias.raw_data = (3 * onnx.numpy_helper.to_array(bias)).tobytes()
        return of(copy, names)

    monkeypatch.setattr(runtimes, "of", other)
    parity = origin.of(from_onnx(residual)).parity
    assert not parity.is_close
    assert re.match(r"node '/second/Conv' \(Conv\), output ", parity.differs)


def test_without_onnxruntime_the_reference_evaluator_compares(residual, monkeypatch):
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    known = origin.of(from_onnx(residual, images=np.ones((2, *SHAPE))))
    assert known.source.endswith("compared with onnx's reference evaluator")
    assert known.parity.is_close


def test_without_onnx_a_sentence_says_what_to_install(residual, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'robust-jax\[onnx\]'"):
        from_onnx(residual)


@pytest.mark.parametrize(
    ("body", "is_same"),
    [
        ("k = Constant<value = int64[1] {1}>() y = ReduceSum(x, k)", True),
        ("k = Constant<value = int64[1] {0}>() y = ReduceSum(x, k)", False),
        ("k = Constant<value = int64[1] {1}>() y = ReduceMean(x, k)", False),
        (
            "k = Constant<value = int64[1] {1}>() y = ReduceSum<keepdims=0>(x, k)",
            False,
        ),
    ],
)
def test_graphs_are_equal_if_they_compute_the_same(body, is_same):
    first = graph_of("k = Constant<value = int64[1] {1}>() y = ReduceSum(x, k)")
    graph, _ = structure.graph_of(first)
    other, _ = structure.graph_of(graph_of(body))
    assert (graph == other) == is_same
    assert (hash(graph) == hash(other)) == is_same


def test_functions_of_the_file_are_part_of_it(tmp_path):
    text = """<ir_version: 10, opset_import: ["" : 17, "own" : 1]>
    g (float[N,4] x) => (float[N,4] y) { y = own.Twice(x) }
    <domain: "own", opset_import: ["" : 17]>
    Twice (x) => (y) { y = Add(x, x) }"""
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    x = jnp.arange(4.0)
    np.testing.assert_array_equal(from_onnx(path)(x), 2 * x)
