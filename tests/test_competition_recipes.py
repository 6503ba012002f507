"""The recipes that the competitions declare: each answers its task, on a network that exists with weights."""

import pytest
import timm
import torchvision

from common.recipe import PAPER
from common.train.train import check
from competitions import load, names

EVERY = [(name, recipe) for name in names() for recipe in load(name).recipes]
SHARED_PROTOCOL = ("backbone", "optimizer", "learning_rate", "weight_decay", "decay_over_learning_rate", "schedule")
WITHOUT_A_WINNER = ("cifar10", "eurosat")


@pytest.mark.parametrize(("name", "recipe"), EVERY)
def test_every_recipe_answers_its_task(name, recipe):
    check(load(name), load(name).recipes[recipe])


@pytest.mark.parametrize(("name", "recipe"), EVERY)
def test_every_backbone_exists_and_has_weights_where_they_are_asked_for(name, recipe):
    recipe = load(name).recipes[recipe]
    known = timm.is_model(recipe.backbone)
    assert known or recipe.backbone in torchvision.models.list_models()
    assert recipe.weights == "none" or not known or timm.is_model_pretrained(recipe.backbone)


@pytest.mark.parametrize("name", names())
def test_the_paper_recipe_is_the_shared_protocol(name):
    paper = load(name).recipes["paper"]
    assert [getattr(paper, field) for field in SHARED_PROTOCOL] == [getattr(PAPER, field) for field in SHARED_PROTOCOL]
    assert (paper.split, paper.augment, paper.batch_size, paper.normalization) == ("paper", "base", 128, "imagenet")


@pytest.mark.parametrize(("name", "recipe"), [pair for pair in EVERY if pair[1] != "paper"])
def test_what_the_paper_does_wrong_only_its_recipe_does(name, recipe):
    recipe = load(name).recipes[recipe]
    assert recipe.color_order == "rgb"
    assert not recipe.decay_over_learning_rate


@pytest.mark.parametrize(("name", "recipe"), EVERY)
def test_no_recipe_hangs_on_a_folder_or_a_run(name, recipe):
    recipe = load(name).recipes[recipe]
    assert (recipe.external, recipe.pseudo, recipe.clean) == ("", "", "")


@pytest.mark.parametrize("name", [name for name in names() if name not in WITHOUT_A_WINNER])
def test_the_winner_is_another_network_or_protocol_than_the_interventions(name):
    recipes = load(name).recipes
    assert recipes["winner"].identity() != recipes["interventions"].identity()
