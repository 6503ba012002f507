"""Recipes: validated, overridden, and hashed by what differs from the defaults."""

import dataclasses

import pytest

from common.errors import UserError
from common.recipe import FIELDS, Recipe, recipe_from_dict
from competitions import load, names


def test_a_recipe_round_trips_through_the_dict_that_a_run_stores():
    recipe = Recipe(learning_rate=3e-4, only_folds=(0, 2), loss="focal")
    assert recipe_from_dict(recipe.to_dict()) == recipe


def test_a_recipe_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().epochs = 3


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("learnin_rate", 0.1, "no field 'learnin_rate' (did you mean 'learning_rate'?)"),
        ("learning_rate", 0, "learning_rate: Input should be greater than 0"),
        ("learning_rate", float("nan"), "learning_rate: Input should be a finite number"),
        ("weight_decay", -1, "weight_decay: Input should be greater than or equal to 0"),
        ("input_size", 16, "input_size: Input should be greater than or equal to 32"),
        ("epochs", 0, "epochs: "),
        ("epochs", 2.5, "epochs: "),
        ("augment", "hevy", "augment: "),
        ("strength", 3.5, "strength: "),
        ("label_smoothing", 1, "label_smoothing: "),
        ("folds", 1, "folds: "),
        ("only_folds", (5,), "only_folds must lie in 0..4"),
        ("only_folds", (0, 0), "only_folds must ascend, each fold once"),
        ("batch_size", 1, "batch_size: "),
        ("schedule", "step", "schedule 'step' needs step_epochs"),
        ("loss", "l1", "loss 'l1' needs decision"),
        ("backbone", "", "backbone: "),
        ("seed", -1, "seed: "),
    ],
)
def test_a_wrong_field_is_one_line_that_names_it(field, value, said):
    with pytest.raises(UserError) as error:
        Recipe().with_fields(**{field: value})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_identity_holds_only_what_differs_from_the_defaults():
    assert Recipe().identity() == {}
    assert Recipe(epochs=3, seed=1).identity() == {"epochs": 3, "seed": 1}


def test_paths_are_no_part_of_the_identity():
    assert Recipe(weights="a.safetensors", external="somewhere").identity() == {}


@pytest.mark.parametrize("name", names())
def test_every_competition_names_interventions_and_where_it_has_them_paper_and_sample(name):
    competition = load(name)
    assert "interventions" in competition.recipes
    assert competition.paper_split is None or "paper" in competition.recipes
    assert competition.make_sample is None or "sample" in competition.recipes


def test_every_field_is_explained():
    import inspect

    source = inspect.getsource(Recipe)
    for name in FIELDS:
        after = source.split(f"\n    {name}: ", 1)[1]
        assert after.split("\n", 2)[1].strip().startswith('"""'), name
