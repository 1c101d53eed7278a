import pytest

from robust_jax import datasets, models, train


@pytest.mark.parametrize("name", train.RECIPES)
def test_recipes_name_what_exists(name):
    recipe = train.recipe(name)
    assert recipe.dataset in datasets.names()
    models.by_name(recipe.model, num_classes=10, **dict(recipe.model_config))
    assert (recipe.eps > 0) == name.startswith("pgd_")


def test_changes_replace_and_none_leaves_alone():
    given = train.recipe("pgd_digits")
    assert train.recipe("pgd_digits", epochs=None, eps=None) == given
    changed = train.recipe("pgd_digits", epochs=3, eps=None)
    assert (changed.epochs, changed.eps) == (3, given.eps)
    assert train.recipe("pgd_digits", eps=0.0).eps == 0  # Zero is a value.


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="recipe 'pgd_digit'.*mean 'pgd_digits'"):
        train.recipe("pgd_digit")
    with pytest.raises(ValueError, match="epochs=0; expected an integer >= 1"):
        train.recipe("digits", epochs=0)
