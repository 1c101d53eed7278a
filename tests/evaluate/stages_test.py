import numpy as np
import pytest

from robust_jax import attacks
from robust_jax.core.types import Towards, Untargeted
from robust_jax.evaluate import stages
from robust_jax.losses import objectives

LABELS = np.array([0, 3, 2, 3], np.int32)


def test_untargeted_is_one_goal():
    (goal,) = stages.untargeted(LABELS, np.zeros((4, 4)))
    assert isinstance(goal, Untargeted)
    np.testing.assert_array_equal(goal.label, LABELS)


@pytest.mark.parametrize("num_classes", [4, 7])
def test_each_wrong_class_is_tried_once_the_next_one_first(num_classes):
    goals = stages.each_wrong_class(LABELS, np.zeros((4, num_classes)))
    assert len(goals) == num_classes - 1
    assert all(isinstance(goal, Towards) for goal in goals)
    for goal in goals:
        np.testing.assert_array_equal(goal.label, LABELS)
    np.testing.assert_array_equal(goals[0].target, (LABELS + 1) % num_classes)
    targets = np.stack([goal.target for goal in goals])
    for label, column in zip(LABELS, targets.T, strict=True):
        assert set(column) == set(range(num_classes)) - {label}


def test_two_classes_leave_one_target():
    (goal,) = stages.each_wrong_class(np.array([0, 1]), np.zeros((2, 2)))
    np.testing.assert_array_equal(goal.target, [1, 0])


def test_the_likeliest_targets_come_first_and_the_label_never():
    logits = np.array([[5.0, 1, 3, 2], [9, 1, 3, 2], [0, 1, 7, 7], [0, -1, -2, 4]])
    goals = stages.likeliest_targets(2)(LABELS, logits)
    assert all(isinstance(goal, Towards) for goal in goals)
    np.testing.assert_array_equal(goals[0].target, [2, 0, 3, 0])
    np.testing.assert_array_equal(goals[1].target, [3, 2, 1, 1])
    assert goals[0].target.dtype == LABELS.dtype
    assert len(stages.likeliest_targets(9)(LABELS, logits)) == 3
    assert stages.likeliest_targets(9) is stages.likeliest_targets()


def test_work_items_multiply_goals_and_restarts():
    one = stages.Stage("one", attacks.fgsm())
    nine = stages.Stage("nine", attacks.bim(5), stages.each_wrong_class, restarts=2)
    assert stages.work_items((), 10) == 0
    assert stages.work_items((one, nine), 10) == 1 + 9 * 2
    assert stages.work_items((one, nine), 2) == 1 + 1 * 2


def test_the_basic_plan_is_what_its_names_say():
    plan = stages.basic(steps=7, restarts=3, relative_step=0.2)
    names = [stage.name for stage in plan]
    assert names == ["fgsm", "pgd-7 ce", "pgd-7 margin", "pgd-7 targeted"]
    margin = attacks.pgd(7, 0.2, objectives.margin)
    assert [stage.attack for stage in plan] == [
        attacks.fgsm(),
        attacks.pgd(7, 0.2, objectives.cross_entropy),
        margin,
        margin,
    ]
    assert [stage.restarts for stage in plan] == [1, 3, 3, 1]
    assert stages.work_items(plan, 10) == 1 + 3 + 3 + 9


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: stages.basic(steps=0), "steps=0; expected an integer >= 1"),
        (lambda: stages.basic(restarts=0), "restarts=0; expected an integer >= 1"),
        (lambda: stages.likeliest_targets(0), "targets=0; expected an integer >= 1"),
        (
            lambda: stages.Stage("s", attacks.fgsm(), restarts=1.5),
            "restarts=1.5; expected an integer >= 1",
        ),
    ],
)
def test_bad_numbers(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
