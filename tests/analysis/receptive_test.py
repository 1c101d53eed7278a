"""The arithmetic of receptive fields."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from robust_jax import analysis

WINDOWS = st.builds(
    analysis.Window, st.integers(1, 5), st.integers(1, 3), st.integers(0, 2)
)
CAFFENET = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]


def test_caffenets_pool5():
    """Girshick et al. (2014): 195 x 195 pixels."""
    field = analysis.receptive_field(analysis.Window(*layer) for layer in CAFFENET)
    assert (field.size, field.stride) == (195, 32)


@given(st.lists(WINDOWS, max_size=4), st.integers(0, 3))
def test_it_is_what_a_unit_depends_on(layers, unit):
    seen = {unit}  # Down the layers, position by position.
    for kernel, stride, padding in reversed(layers):
        seen = {i * stride - padding + k for i in seen for k in range(kernel)}
    field = analysis.receptive_field(layers)
    assert min(seen) == unit * field.stride + field.start
    assert max(seen) == min(seen) + field.size - 1


def test_boxes_end_at_the_image():
    field = analysis.receptive_field([analysis.Window(3, 2, 1)])
    assert field.box(0, 1, 4, 4) == (0, 1, 2, 4)


def test_layers_that_cannot_be():
    for layer, told in (((0,), "kernel=0"), ((1, 0), "stride=0"), ((1, 1, -1), "padd")):
        with pytest.raises(ValueError, match=told):
            analysis.receptive_field([analysis.Window(*layer)])
    assert analysis.receptive_field([]) == analysis.Field(1, 1, 0)
    assert np.isfinite(analysis.receptive_field([]).box(0, 0, 1, 1)).all()
