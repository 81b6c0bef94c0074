"""Recipes: changed by dotted path, and refusing what they cannot mean."""

import pytest

from training.objectives.consistency import Consistency
from training.objectives.standard import Standard
from training.recipe import Schedule, TrainingRecipe, override
from training.schedule import is_exhausted, lr_factor, num_plateaus
from zoo.errors import RecipeError
from zoo.models.spec import Preprocessing

RECIPE = TrainingRecipe(objective=Consistency())


def test_fields_are_replaced_by_dotted_path_and_parsed():
    changed = override(RECIPE, ["epochs=1", "objective.sigma=0.25", "schedule.name=plateau", "optimizer.nesterov=true"])
    assert (changed.epochs, changed.objective.sigma, changed.schedule.name) == (1, 0.25, "plateau")
    assert changed.optimizer.nesterov is True
    assert override(RECIPE, ["gradient_clip_norm=5", "gradient_clip_norm=none"]).gradient_clip_norm is None


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("epochs", "takes key=value"),
        ("epoch=1", "no field 'epoch'; TrainingRecipe has: objective, architecture, epochs"),
        ("objective.lambda=1", "Consistency has: sigma, m, lbd, eta, warmup_epochs"),
        ("epochs=many", "epochs='many'"),
        ("epochs=0", "epochs must be none or at least 1"),
        ("optimizer=1", "optimizer takes one of its fields"),
        ("epochs.x=1", "epochs takes no further name"),
        ("objective.sigma=-1", "objective.sigma must be at least 0"),
        ("objective.m=0", "objective.m must be at least 1"),
        ("optimizer.lr=0", "optimizer.lr must be positive"),
        ("schedule.name=linear", "schedule.name='linear'"),
        ("batch_size=1", "batch_size must be at least 2"),
        ("precision=float16", "precision='float16'"),
    ],
)
def test_what_a_recipe_cannot_mean_is_refused_by_name(assignment, said):
    with pytest.raises(RecipeError, match=said):
        override(RECIPE, [assignment])


def test_the_plateau_rule_needs_a_validation_set():
    with pytest.raises(RecipeError, match="validation_share must be positive"):
        override(RECIPE, ["validation_share=0", "schedule.name=plateau"])


def test_the_digest_names_the_recipe():
    assert RECIPE.digest() == TrainingRecipe(objective=Consistency()).digest()
    assert RECIPE.digest() != override(RECIPE, ["objective.eta=0.1"]).digest()
    assert TrainingRecipe(objective=Standard()).describe()["objective"] == {"name": "standard"}


def test_the_image_size_scales_the_resize_with_the_crop():
    fitted = override(RECIPE, ["image_size=112"]).fit_preprocessing(Preprocessing(resize=256, crop=224))
    assert (fitted.resize, fitted.crop) == (128, 112)


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], ("pad", 224, 224)),
        (["image_size=64"], ("pad", 64, 64)),
        (["fit=crop"], ("crop", 256, 224)),
        (["fit=crop", "image_size=112"], ("crop", 128, 112)),
        (["fit=crop", "resize=224"], ("crop", 224, 224)),
    ],
)
def test_the_fit_is_the_tasks_or_the_recipes(assignments, expected):
    fitted = override(RECIPE, assignments).fit_preprocessing(Preprocessing(resize=224, crop=224, fit="pad"))
    assert (fitted.fit, fitted.resize, fitted.crop) == expected
    cropping = Preprocessing(resize=256, crop=224)
    assert override(RECIPE, ["fit=pad"]).fit_preprocessing(cropping) == Preprocessing(resize=224, crop=224, fit="pad")
    with pytest.raises(RecipeError, match="resize=256 needs fit=crop: padding resizes to 224"):
        override(RECIPE, ["fit=pad", "resize=256"]).fit_preprocessing(cropping)


def test_the_cosine_rises_over_its_warmup_and_falls_to_zero():
    schedule = Schedule(name="cosine", warmup_epochs=2.0)
    steps = {"steps_per_epoch": 10, "total_steps": 100, "history": []}
    rates = [lr_factor(schedule, step=step, **steps) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 20) and rates[9] == pytest.approx(0.5, abs=0.02)
    assert max(rates) == rates[19] and rates[50] == pytest.approx(0.5) and 0 < rates[99] < 0.001


def test_a_single_step_is_taken_at_the_full_rate():
    assert lr_factor(Schedule(name="cosine"), step=0, steps_per_epoch=1, total_steps=1, history=[]) == 1.0


def test_the_plateau_drops_the_rate_at_each_stall_and_ends_after_its_last():
    schedule = Schedule(name="plateau", patience=3, factor=0.1, drops=2)
    history = [0.5, 0.6, 0.6, 0.6, 0.59]  # three epochs without a new best
    assert num_plateaus(history, 3) == 1
    assert lr_factor(schedule, step=5, steps_per_epoch=1, total_steps=99, history=history) == pytest.approx(0.1)
    assert not is_exhausted(schedule, history + [0.6] * 3)
    assert is_exhausted(schedule, history + [0.6] * 6)
    assert not is_exhausted(Schedule(name="cosine"), [0.1] * 100)
