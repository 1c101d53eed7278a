import numpy as np
import pytest

from robust_jax.core.metrics import Proportion
from robust_jax.report import examples
from robust_jax.report.site import differences


def pair(both, first, second, neither):
    counts = both, first, second, neither
    one = np.repeat([True, True, False, False], counts)
    return one, np.repeat([True, False, True, False], counts)


def test_unpaired_is_newcombes():
    """Newcombe (1998, a), table II, method 10, 56 / 70 - 48 / 80."""
    found = differences.unpaired(Proportion(56, 70), Proportion(48, 80))
    assert found[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.how == "unpaired"
    assert str(found) == "+20.0 [+5.2, +33.4]"


def test_paired_is_newcombes():
    """Newcombe (1998, b), table III, method 10, 36, 12, 2 and 0 of 50."""
    found = differences.paired(*pair(36, 12, 2, 0))
    assert found[:3] == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)
    assert found.how == "paired, n = 50, p = 0.013"


def test_the_same_verdicts_are_nearer_when_paired():
    one = np.arange(100) < 60
    found, apart = differences.paired(one, one), Proportion(60, 100)
    wide = differences.unpaired(apart, apart)
    assert found.value == 0 and found.high - found.low < 0.1 < wide.high - wide.low


@pytest.mark.parametrize("counts", [(0, 9, 0, 0), (9, 0, 0, 0), (0, 0, 0, 9)])
def test_proportions_of_nothing_and_of_all(counts):
    found = differences.paired(*pair(*counts))
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_mcnemar_is_a_binomial_test():
    assert differences.mcnemar(9, 2) == pytest.approx(
        134 / 2048
    )  # 2 P(at most 2 of 11)
    assert differences.mcnemar(0, 0) == differences.mcnemar(3, 3) == 1


def test_only_shared_images_are_paired():
    first, second = Proportion(2, 4), Proportion(1, 3)
    mine = {1: True, 2: True, 3: False, 4: False}
    other = {3: False, 2: False, 9: True}
    assert "n = 2," in differences.of_runs(first, second, (mine, other)).how
    assert differences.of_runs(first, second, (mine, other)).value == 0.5
    for without in (None, {}, {7: True}):
        assert differences.of_runs(first, second, (mine, without)).how == "unpaired"


def test_verdicts_of_a_file(tmp_path):
    path = tmp_path / "adversarial.npz"
    assert differences.verdicts(path) is None
    np.savez(path, ids=[5, 3, 4], winner=[-1, 0, -2])
    assert differences.verdicts(path) == {5: True, 3: False, 4: False}
    np.savez(path, ids=[5, 5, 4], winner=[-1, 0, -2])
    assert differences.verdicts(path) is None  # Whose is the verdict?
    path.write_bytes(b"no archive")
    assert differences.verdicts(path) is None


@pytest.mark.parametrize("damaged", [b"", b"PK\x03\x04 cut off"])
def test_damaged_examples_give_no_verdicts_and_a_sentence(tmp_path, damaged):
    path = tmp_path / "adversarial.npz"
    path.write_bytes(damaged)
    assert differences.verdicts(path) is None
    with pytest.raises(ValueError, match="cannot be read"):
        examples._read(path)
