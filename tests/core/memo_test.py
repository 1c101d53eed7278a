import pytest

from robust_jax import attacks
from robust_jax.core.memo import memoised


@memoised
def pair(first, second=2, *, third=3):
    """A new object for each set of arguments."""
    return [first, second, third]


def test_equal_arguments_give_the_same_object_however_they_are_written():
    one = pair(1)
    for other in (
        pair(first=1),
        pair(1, 2),
        pair(1, second=2),
        pair(third=3, second=2, first=1),
    ):
        assert other is one


def test_other_arguments_give_another_object():
    assert pair(2, 1) == [2, 1, 3]
    assert pair(1, 2) == [1, 2, 3]
    assert pair(1, third=4) == [1, 2, 4]
    assert pair(1, 2) is not pair(1, third=4)


def test_numbers_of_another_type_are_other_arguments():
    for value in (1, True, 1.0):
        assert type(pair(value)[0]) is type(value)


def test_arguments_that_cannot_be_compared_are_refused():
    with pytest.raises(TypeError, match="unhashable"):
        pair([1])
    with pytest.raises(TypeError, match="unexpected keyword"):
        pair(1, fourth=4)


def test_a_refusal_is_not_remembered():
    calls = []

    @memoised
    def picky(value):
        calls.append(value)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            picky(1)
    assert calls == [1, 1]


def test_attacks_share_their_programs():
    assert attacks.pgd(40) is attacks.pgd(steps=40) is attacks.pgd()
    assert attacks.pgd(40) is not attacks.pgd(39)
