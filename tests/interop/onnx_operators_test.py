"""Operators of ONNX against onnxruntime, and what is refused of them by name."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from robust_jax.interop.onnx import graph, runtimes, structure

RNG = np.random.default_rng(0)
# Bodies of graphs take x, and what they name of these.
SHAPE = (2, 4, 5, 6)
X = RNG.normal(0, 2, SHAPE).astype(np.float32)
FLOATS = {
    "kernel": (6, 4, 3, 3),
    "grouped": (6, 2, 3, 3),
    "up": (4, 3, 3, 2),
    "up_grouped": (4, 3, 3, 3),
    "b6": (6,),
    "b3": (3,),
    "s4": (4,),
    "t4": (4,),
    "m4": (4,),
    "s5": (5,),
    "s6": (6,),
    "t6": (6,),
    "g2": (2,),
    "h2": (2,),
    "slope": (4, 1, 1),
    "square": (6, 7),
    "turned": (7, 6),
    "c7": (7,),
    "other": SHAPE,
}
KNOWN = {
    name: np.random.default_rng(i).normal(0, 1, shape).astype(np.float32)
    for i, (name, shape) in enumerate(FLOATS.items())
} | {
    "v4": np.array([0.5, 1.0, 2.0, 0.1], np.float32),
    "zero": np.float32(0),
    "half": np.float32(0.5),
    "two": np.float32(2),
    "seven": np.float32(7.5),
    "three": np.int64(3),
    "on_off": np.array([-1, 3], np.float32),
    "scales": np.array([1, 1, 2, 1.5], np.float32),
    "sizes": np.array([2, 4, 3, 11]),
    "i0": np.array([0]),
    "i1": np.array([1]),
    "i2": np.array([2]),
    "i3": np.array([3]),
    "i4": np.array([4]),
    "i23": np.array([2, 3]),
    "i120": np.array([1, 2, 0]),
    "parts": np.array([1, 3, 2]),
    "reversed": np.array([-1, 5]),
    "ends": np.array([-(2**62), 1]),
    "steps": np.array([-2, -1]),
    "reps": np.array([1, 2, 1, 1]),
    "pads": np.array([0, 0, 1, 2, 0, 0, 2, 1]),
    "pads2": np.array([1, -1]),
    "to3d": np.array([0, -1, 6]),
    "wide": np.array([3, 1, 4, 5, 6]),
    "places": np.array([[0, 1], [1, 3]]),
    "along": np.zeros((2, 4, 5, 2), np.int64) + np.array([3, 1]),
    "update": np.ones((2, 5, 6), np.float32),
}
PLAIN = """Abs Ceil Cos Erf Exp Floor HardSigmoid HardSwish Identity IsInf IsNaN Neg
    Reciprocal Relu Round Selu Shape Sigmoid Sign Sin Size Softplus Softsign Tanh"""
SCALED = ["mode='nearest'", "mode='linear'"]
SIZED = [
    "mode='nearest', nearest_mode='round_prefer_ceil'",
    "mode='nearest', coordinate_transformation_mode='asymmetric', nearest_mode='floor'",
    "mode='nearest', coordinate_transformation_mode='align_corners', "
    "nearest_mode='ceil'",
    "mode='linear', coordinate_transformation_mode='align_corners'",
    "mode='linear', coordinate_transformation_mode='pytorch_half_pixel'",
    "mode='linear', coordinate_transformation_mode='asymmetric'",
]
CASES = [  # A body and an opset, 17 where none is said.
    "y = Conv<strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]>(x, kernel, b6)",
    "y = Conv<group=2, auto_pad='SAME_UPPER', strides=[2, 2]>(x, grouped)",
    "y = Conv<auto_pad='SAME_LOWER', strides=[2, 2], kernel_shape=[3, 3]>(x, kernel)",
    "y = ConvTranspose<strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 2]>"
    "(x, up, b3)",
    "y = ConvTranspose<group=2, dilations=[2, 1], strides=[2, 2]>(x, up_grouped)",
    "y = ConvTranspose<output_shape=[11, 12], strides=[2, 2]>(x, up)",
    "y = MaxPool<kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]>(x)",
    "y = MaxPool<kernel_shape=[2, 2], strides=[3, 4], ceil_mode=1>(x)",
    "y = MaxPool<kernel_shape=[2, 2], strides=[3, 4], pads=[0, 0, 1, 1], ceil_mode=1>"
    "(x)",
    "y = MaxPool<kernel_shape=[2, 2], dilations=[2, 3]>(x)",
    "y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(x)",
    "y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], "
    "count_include_pad=1>(x)",
    ("y = AveragePool<kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1>(x)", 19),
    "y = GlobalAveragePool(x)",
    "y = GlobalMaxPool(x)",
    "y = BatchNormalization<epsilon=0.1>(x, s4, t4, m4, v4)",
    "y = InstanceNormalization<epsilon=0.1>(x, s4, t4)",
    "y = LayerNormalization<epsilon=0.1>(x, s6, t6)",
    "y = LayerNormalization<axis=1>(x, other)",
    ("y = GroupNormalization<num_groups=2, epsilon=0.1>(x, g2, h2)", 18),
    ("y = GroupNormalization<num_groups=2>(x, s4, t4)", 21),
    ("y = RMSNormalization<epsilon=0.1>(x, s6)", 23),
    "y = LpNormalization<axis=1, p=2>(x)",
    "y = LpNormalization<p=1>(x)",
    "f = Flatten<axis=-1>(x) y = Gemm<alpha=0.5, beta=2.0>(f, square, c7)",
    "f = Flatten<axis=3>(x) y = Gemm<transB=1>(f, turned)",
    "f = Flatten<axis=3>(x) t = Transpose(f) y = Gemm<transA=1>(t, square)",
    "y = MatMul(x, square)",
    "y = Einsum<equation='abcd,de->aebc'>(x, square)",
    "y = Softmax<axis=1>(x)",
    "y = Softmax(x)",
    ("y = Softmax<axis=2>(x)", 12),
    "y = LogSoftmax<axis=2>(x)",
    ("q = Attention<is_causal=1, scale=0.3>(x, other, x) y = Identity(q)", 23),
    (
        "u = Reshape(x, to3d) k = Slice(u, i0, i3, i2)"
        " y = Attention<q_num_heads=2, kv_num_heads=1>(u, k, k)",
        23,
    ),
    *(f"y = {name}(x)" for name in PLAIN.split()),
    "y = LeakyRelu<alpha=0.3>(x)",
    "y = Elu<alpha=0.7>(x)",
    "y = Celu<alpha=0.7>(x)",
    "y = HardSigmoid<alpha=0.3, beta=0.4>(x)",
    "y = Selu<alpha=1.3, gamma=0.7>(x)",
    "y = PRelu(x, slope)",
    ("y = Gelu(x)", 20),
    ("y = Gelu<approximate='tanh'>(x)", 20),
    ("y = Mish(x)", 18),
    "y = Clip(x, zero, two)",
    "y = Clip(x, , half)",
    "y = Dropout(x, half)",
    "a = Abs(x) y = Sqrt(a)",
    "a = Abs(x) y = Log(a)",
    "y = Add(x, slope)",
    "y = Sub(x, slope)",
    "y = Mul(x, slope)",
    "y = Div(x, slope)",
    "y = Max(x, slope, half)",
    "y = Min(x, slope, half)",
    "y = Sum(x, slope, half)",
    "y = Mean(x, slope, half)",
    "y = Pow(x, two)",
    "a = Abs(x) y = Pow(a, half)",
    "y = Mod<fmod=1>(x, two)",
    "i = Cast<to=7>(x) y = Mod(i, i3)",
    "i = Cast<to=7>(x) y = Div(i, i3)",
    "i = Cast<to=7>(x) y = CastLike(i, x)",
    "y = Greater(x, slope)",
    "y = GreaterOrEqual(x, x)",
    "y = Less(x, slope)",
    "y = LessOrEqual(x, x)",
    "i = Cast<to=7>(x) y = Equal(i, i1)",
    *(
        f"a = Greater(x, half) b = Less(x, two) n = Not(b) y = {name}(a, n)"
        for name in ("And", "Or", "Xor")
    ),
    "c = Greater(x, half) y = Where(c, x, slope)",
    "y = ReduceMean<axes=[1, -1], keepdims=0>(x)",
    ("y = ReduceMean<keepdims=0>(x, i23)", 18),
    "y = ReduceSum<keepdims=0>(x, i23)",
    "y = ReduceSum<noop_with_empty_axes=1, keepdims=1>(x)",
    "y = ReduceSum(x)",
    "y = ReduceMax<axes=[2]>(x)",
    "y = ReduceMin<axes=[2]>(x)",
    "y = ReduceProd<axes=[2]>(x)",
    "y = ReduceL1<axes=[2, 3]>(x)",
    "y = ReduceL2<axes=[2, 3]>(x)",
    "y = ReduceSumSquare<axes=[2, 3]>(x)",
    "y = ReduceLogSumExp<axes=[2, 3]>(x)",
    "y = ArgMax<axis=1, keepdims=0>(x)",
    "y = ArgMin<axis=2>(x)",
    "y = Reshape(x, to3d)",
    "y = Flatten<axis=2>(x)",
    "y = Transpose<perm=[0, 3, 1, 2]>(x)",
    "a = Unsqueeze(x, i1) y = Squeeze(a, i1)",
    ("a = Unsqueeze<axes=[0, -1]>(x) y = Squeeze<axes=[0]>(a)", 11),
    "y = Concat<axis=-2>(x, x)",
    "a, y, b = Split<axis=3>(x, parts)",
    ("a, y = Split<axis=2, num_outputs=2>(x)", 18),
    "y = Slice(x, reversed, ends, i23, steps)",
    "y = Gather<axis=1>(x, i120)",
    "y = Gather<axis=2>(x, three)",
    "y = GatherElements<axis=-1>(x, along)",
    "y = GatherND(x, places)",
    ("y = ScatterND(x, places, update)", 18),
    ("y = ScatterND<reduction='mul'>(x, places, update)", 18),
    "y = Expand(x, wide)",
    "y = Tile(x, reps)",
    "y = Pad(x, pads, half)",
    "y = Pad<mode='reflect'>(x, pads)",
    "y = Pad<mode='edge'>(x, pads)",
    ("y = Pad(x, pads2, , i3)", 18),
    "y = Trilu<upper=0>(x, three)",
    "y = Trilu(x)",
    "i = ArgMax<axis=1, keepdims=0>(x) y = OneHot<axis=1>(i, seven, on_off)",
    "y = CumSum(x, i3)",
    "y, i = TopK<axis=1>(x, i3)",
    "v, y = TopK<axis=3>(x, i1)",
    "y, i = TopK<axis=3, largest=0>(x, i2)",
    "y = DepthToSpace<blocksize=2>(x)",
    "y = DepthToSpace<blocksize=2, mode='CRD'>(x)",
    "c = Slice(x, i0, i4, i2) y = SpaceToDepth<blocksize=2>(c)",
    # What is calculated of shapes is known, and may be a shape.
    "s = Shape(x) g = Gather(s, i3) r = ConstantOfShape(g) y = Add(x, r)",
    "s = Shape(x) g = Gather(s, three) c = Cast<to=1>(g) q = Sqrt(c) y = Div(x, q)",
    "s = Shape(x) l = Gather(s, three) z = Squeeze(i0) o = Squeeze(i1)"
    " r = Range(z, l, o) f = Cast<to=1>(r) y = Add(x, f)",
    "s = Shape<start=1, end=-1>(x) c = Concat<axis=0>(i3, s) y = Expand(half, c)",
    *(f"y = Resize<{given}>(x, , scales)" for given in SCALED),
    *(f"y = Resize<{given}>(x, , , sizes)" for given in SIZED),
]
REFUSED = [
    ("y = Resize<mode='cubic'>(x, , scales)", "mode='cubic'; supported: 'nearest'"),
    ("y = MaxPool<kernel_shape=[2, 2], storage_order=1>(x)", "storage_order=1"),
    ("y = SpaceToDepth<blocksize=2, mode='CRD'>(x)", "mode='CRD'"),
    ("y = IsInf<detect_negative=0>(x)", "detect_negative=0, which is not read"),
    ("s = Cast<to=7>(x) y = Expand(x, s)", "takes its shape from values of the images"),
    ("y = Gather<axis=1>(x, i4)", "index 4 is out of bounds"),
    ("y = Cast<to=8>(x)", "ONNX's type 8"),
    ("y = MatMul(x, kernel)", r"cannot be computed of inputs of shape \[\(2, 4, 5, 6"),
    ("y = DepthToSpace(x)", "has no attribute 'blocksize'"),
    (
        "a, i = MaxPool<kernel_shape=[2, 2]>(x) y = Identity(i)",
        "no operator that is",
    ),
    (
        "y = BatchNormalization<training_mode=1>(x, s4, t4, m4, v4)",
        "training_mode=1; supported: 0",
    ),
]


def model_of(body, opset=17):
    """A graph of x, with those of the known arrays that the body names."""
    text = body.replace("'", '"')
    used = [
        name for name in KNOWN if re.search(rf"\b{name}\b", re.sub("<.*?>", "", body))
    ]
    parsed = onnx.parser.parse_graph(
        f"g (float[{','.join(map(str, SHAPE))}] x) => (y) {{ {text} }}"
    )
    parsed.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(KNOWN[name]), name) for name in used
    )
    imports = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(parsed, opset_imports=imports, ir_version=10)


def ours(model, x):
    """What we make of it, and the graph is taken as it is: x is the batch."""
    read, weights = structure.structure_of(model, "x", "y")
    return dict(read.outputs(weights, jnp.asarray(x)))["y"]


def told(case):
    return case if isinstance(case, tuple) else (case, 17)


@pytest.mark.parametrize("case", CASES, ids=lambda case: told(case)[0])
def test_an_operator_is_that_of_onnxruntime(case):
    model = model_of(*told(case))
    (wanted,) = runtimes.in_onnxruntime(model).run(X)
    found = np.asarray(ours(model, X))
    assert found.shape == wanted.shape
    assert (found.dtype.kind == "f") == (wanted.dtype.kind == "f")
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


def test_every_operator_has_a_case():
    texts = [told(case)[0] for case in CASES]
    named = {name for text in texts for name in re.findall(r"= (\w+)[<(]", text)}
    assert named == set(graph.OPERATORS)


@pytest.mark.parametrize(("body", "reason"), REFUSED)
def test_what_is_not_read_is_refused_by_name(body, reason):
    with pytest.raises(ValueError, match=rf"node '.*' \(\w+\) .*{reason}") as refusal:
        ours(model_of(body), X)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "body",
    [
        "c = Conv<pads=[1, 1, 1, 1]>(x, kernel, b6) y = HardSwish(c)",
        "a = AveragePool<kernel_shape=[2, 2], ceil_mode=1>(x) y = Softplus(a)",
        "n = InstanceNormalization(x, s4, t4) e = Erf(n) y = LogSoftmax<axis=1>(e)",
        "r = Resize<mode='linear'>(x, , scales) n = LpNormalization<axis=1>(r)"
        " y = Pow(n, two)",
    ],
)
def test_gradients_are_those_of_differences(body):
    model = model_of(body)
    with jax.enable_x64(True):
        x = jnp.asarray(X, jnp.float64)
        assert ours(model, x).dtype == jnp.float64
        jax.test_util.check_grads(lambda x: ours(model, x), (x,), 1, modes=["rev"])
