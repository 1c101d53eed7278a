"""Arguments that a factory does not have, and what other libraries mean by them."""

import re

import pytest

from robust_jax import attacks


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"eps": 0.1}, "; eps is the threat's, as in threats.Linf(eps)"),
        ({"alpha": 0.1}, "; alpha is relative_step here, a share of eps"),
        ({"nb_iter": 7}, "; nb_iter is steps here"),
        ({"stepz": 7}, "expected some of steps, relative_step, objective, gradient"),
    ],
)
def test_what_others_call_it(given, hint):
    with pytest.raises(
        TypeError, match=f"^pgd: got an unexpected .*{re.escape(hint)}$"
    ):
        attacks.pgd(**given)


def test_an_argument_of_that_name_is_no_hint():
    with pytest.raises(TypeError, match="expected some of [a-z_, ]*$"):
        attacks.pgd(steps=3, strides=2)
