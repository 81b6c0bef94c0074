"""Two phases of a run, as functions of the step."""

import pytest

from training.objectives.consistency import Consistency
from training.objectives.gaussian import Gaussian
from training.objectives.standard import Standard
from training.phases import Phases
from training.recipe import TrainingRecipe, override
from training.recipe_lines import MOST_LINES, recipe_lines
from training.recipes import find_recipe, recipe_names
from zoo.errors import RecipeError


def phases(*assignments, objective="consistency"):
    return Phases(recipe=override(find_recipe("few-labels", objective=objective), assignments), steps_per_epoch=7)


def test_the_last_layer_is_trained_first_by_cross_entropy_and_then_all_layers_by_the_method():
    two = phases("total_steps=10", "head_steps=4", "noise_warmup=0", "schedule.warmup_epochs=0")
    assert [two.freeze(step) for step in (0, 3, 4, 9)] == ["all-but-head", "all-but-head", "none", "none"]
    assert two.objective(3) == Gaussian(sigma=0.25) and two.objective(4) == Consistency(sigma=0.25)
    assert phases(objective="standard").objective(0) == Standard()
    rates = [two.rate(step, history=()) for step in range(10)]
    assert rates[0] == two.recipe.head_rate and rates[4] == two.recipe.optimizer.lr
    assert sorted(rates[:4], reverse=True) == rates[:4] and sorted(rates[4:], reverse=True) == rates[4:]


def test_noise_grows_to_the_objectives_over_the_first_share_of_the_steps():
    two = phases("total_steps=10", "head_steps=2", "noise_warmup=0.4")
    assert [two.objective(step).sigma for step in range(6)] == pytest.approx([0.0625, 0.125, 0.1875, 0.25, 0.25, 0.25])
    assert type(two.objective(2)) is Consistency and two.objective(5) is two.recipe.objective


def test_the_first_of_two_budgets_ends_the_run():
    recipe = find_recipe("few-labels", objective="consistency")
    assert (recipe.num_steps(7), recipe.num_steps(1000)) == (recipe.total_steps,) * 2
    assert override(recipe, ["epochs=2"]).num_steps(7) == 14 and override(recipe, ["epochs=2"]).num_epochs(216) == 2
    assert recipe.num_epochs(216) == recipe.total_steps * 32 / 216
    with pytest.raises(RecipeError, match="needs a budget: epochs, total_steps"):
        override(recipe, ["total_steps=none"])
    with pytest.raises(RecipeError, match="must not exceed total_steps=10, got 150"):
        override(recipe, ["total_steps=10"])
    assert override(recipe, ["total_steps=none", "epochs=3"]).num_steps(7) == 21


def test_fields_that_need_each_other_are_set_in_any_order():
    quick = find_recipe("quick", objective="standard")
    for words in (["schedule.name=steps", "schedule.milestones=3"], ["schedule.milestones=3", "schedule.name=steps"]):
        assert override(quick, words).schedule.milestones == (3,)


def test_a_recipe_without_the_new_fields_is_identified_as_before():
    names = {"total_steps", "head_steps", "head_rate", "noise_warmup"}
    assert not names & set(TrainingRecipe(objective=Standard()).identity())
    assert names <= set(find_recipe("few-labels", objective="standard").identity())


@pytest.mark.parametrize("objective", ["consistency", "smoothmix", "simclr", "trades"])
def test_every_recipe_is_printed_in_at_most_ten_lines_by_what_differs(objective):
    for name in recipe_names(objective):
        recipe = find_recipe(name, objective=objective)
        lines = recipe_lines(recipe)
        assert 2 <= len(lines) <= MOST_LINES and all(len(line) < 80 for line in lines)
        assert f"batch_size={recipe.batch_size}" in " ".join(lines) or recipe.batch_size == 64
