import pytest

from robust_jax import datasets, models, train


@pytest.mark.parametrize("name", train.RECIPES)
def test_recipes_name_what_exists(name):
    recipe = train.recipe(name)
    assert recipe.dataset in (*datasets.names(), "cifar10") and recipe.source
    module = models.by_name(recipe.model, num_classes=10, **dict(recipe.model_config))
    assert (recipe.ball.eps > 0) == (recipe.method.name != "standard")
    teachers = tuple(lambda x: x for _ in recipe.teachers)
    assert all(teacher in train.RECIPES for teacher in recipe.teachers)
    learner = recipe.learner(
        models.ApplyMode(module), 100, (32, 32, 3), teachers=teachers
    )
    assert recipe.weights.give in ("live", *dict(learner.averages))


def test_changes_replace():
    given = train.recipe("pgd_digits")
    changed = train.recipe("pgd_digits", {"epochs": 3, "ball.eps": 0.0})
    assert (changed.epochs, changed.ball.eps) == (3, 0.0)
    assert changed.attack == given.attack
    with pytest.raises(ValueError, match="unknown recipe 'pgd_digit'; did you mean"):
        train.recipe("pgd_digit")
