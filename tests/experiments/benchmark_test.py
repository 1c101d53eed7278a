"""Variants of a measurement do the same work, so that their times compare."""

import jax
import numpy as np
import pytest

from experiments.comparisons import benchmark_suites
from robust_jax import datasets

pytestmark = pytest.mark.xdist_group("properties")


def test_all_drivers_find_the_same(monkeypatch):
    few = datasets.load("digits", "test").take(np.arange(6))
    monkeypatch.setattr(benchmark_suites.common, "load", lambda *given: few)
    monkeypatch.setattr(benchmark_suites, "_STEPS", 2)
    with benchmark_suites.drivers([]) as groups:
        assert len(groups) == 2
        for variants in groups.values():
            assert len(variants) == 4
            found = {name: call() for name, call in variants.items()}
            first = jax.tree.map(np.asarray, found.pop("hosted"))
            assert 0 < np.abs(first.x_adv - few.pixels()).max() <= 0.15 + 1e-6
            for name, other in found.items():
                for field in ("x_adv", "margin", "forwards", "backwards"):
                    np.testing.assert_allclose(
                        getattr(other, field), getattr(first, field), atol=1e-4,
                        err_msg=f"{name}: {field}",
                    )  # fmt: skip
