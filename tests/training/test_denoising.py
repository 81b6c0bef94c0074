"""Training of a denoiser: the classifier before and after is the same, byte for byte."""

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from tests.training.test_trainer import CPU, QUIET, bright_or_dark
from training import trainer
from training.denoising import predicted_labels, trained_epochs
from training.objectives.denoise import Denoise
from training.objectives.standard import Standard
from training.recipe import Adam, TrainingRecipe, override
from training.recipes import quick
from training.run import TrainingRun
from training.tasks import open_task
from training.trainer import train
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import RecipeError, RequestError
from zoo.models.architecture import build_network
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing
from zoo.verification import verify

SMALL = Denoise(sigma=0.5, depth=3, width=4)
INPUT = Preprocessing(resize=20, crop=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A random classifier of other classes and with another input than the task of the denoiser."""
    network = build_network("resnet10-quarter", num_classes=3, preprocessing=INPUT)
    network.train()(torch.rand(8, 3, 16, 16))
    certified = CertifiedConfig(
        objective="standard", task="other", class_names=tuple("abc"), seed=0, epochs=1, preprocessing=INPUT
    )
    spec = ModelSpec(architecture="resnet10-quarter", num_classes=3, certified=certified)
    return save_checkpoint(tmp_path_factory.mktemp("denoising") / "classifier", network, spec, split={"train": [7]})


def run_of(output, parent, objective=SMALL, **fields):
    known = {"architecture": "resnet10-quarter", "epochs": 2, "batch_size": 8, "optimizer": Adam(lr=5e-3)}
    recipe = TrainingRecipe(objective=objective, validation_share=0.0, **(known | fields))
    return TrainingRun(task=bright_or_dark(), recipe=recipe, seed=0, output=output, parent=parent)


def trained(run, *, resume=False):
    return train(run, device=CPU, resume=resume, console=QUIET)


def denoiser_tensors(checkpoint):
    return load_file(checkpoint.path / "denoiser.safetensors")


@pytest.mark.parametrize("loss", ["mse", "stability"])
def test_the_denoiser_is_trained_and_the_classifier_stays_as_it_is(loss, classifier, tmp_path):
    run = run_of(tmp_path / "d", classifier, replace(SMALL, loss=loss))
    checkpoint = trained(run)
    assert (checkpoint.path / "model.safetensors").read_bytes() == (classifier.path / "model.safetensors").read_bytes()
    start = trainer.starting_network(run.task, run.recipe, seed=0, parent=classifier).denoiser.state_dict()
    changed = {name for name, value in denoiser_tensors(checkpoint).items() if not torch.equal(value, start[name])}
    assert changed == set(start), "every tensor is trained, the running statistics too"
    certified, denoiser = checkpoint.spec.certified, checkpoint.spec.certified.denoiser
    assert (certified.objective, certified.task, certified.class_names) == ("standard", "other", ("a", "b", "c"))
    assert certified.preprocessing == INPUT and certified.sigma == denoiser.sigma == 0.5
    assert (denoiser.objective, denoiser.hyper_parameters["loss"], denoiser.task) == ("denoise", loss, "bright")
    assert (denoiser.parent, denoiser.epochs) == (classifier.weights_sha256, 2)
    split = json.loads((checkpoint.path / "split.json").read_text())
    assert split["train"] == [7] and split["denoiser"]["train"] == list(range(40))
    assert {check.name: check.findings for check in verify(checkpoint.path).checks if check.findings} == {}


def test_the_labels_of_the_stability_loss_are_the_classifiers_predictions_for_clean_images(
    classifier, tmp_path, monkeypatch
):
    batches, compute_loss = [], Denoise.__call__

    def recorded(self, model, batch, **fields):
        batches.append(batch)
        return compute_loss(self, model, batch, **fields)

    monkeypatch.setattr(Denoise, "__call__", recorded)
    trained(run_of(tmp_path / "d", classifier, replace(SMALL, loss="stability")))
    with torch.inference_mode():
        expected_B = classifier.load_network()(batches[0].x_BCHW).argmax(dim=1)
    assert torch.equal(batches[0].labels_B, expected_B)


def test_a_run_continues_a_denoiser_and_resumes_to_the_same_weights(classifier, tmp_path):
    first = trained(run_of(tmp_path / "first", classifier, epochs=1))
    objective = replace(SMALL, loss="stability")
    whole = trained(run_of(tmp_path / "whole", first, objective, epochs=1))
    assert whole.spec.certified.denoiser.parent == first.weights_sha256 != first.classifier_sha256
    start = trainer.starting_network(bright_or_dark(), run_of("x", first, objective).recipe, seed=0, parent=first)
    assert torch.equal(start.denoiser.image[0].weight, denoiser_tensors(first)["image.0.weight"])
    cut = run_of(tmp_path / "cut", classifier)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "is_exhausted", lambda schedule, history: (cut.output / ".run" / "state.pt").exists())
        assert trained_epochs(trained(cut).spec) == 1
    resumed = trained(cut, resume=True)
    uncut = trained(run_of(tmp_path / "uncut", classifier))
    assert (
        trained_epochs(resumed.spec) == 2
        and resumed.files["denoiser.safetensors"] == uncut.files["denoiser.safetensors"]
    )


def test_a_denoiser_without_a_classifier_is_for_other_classifiers_only(tmp_path):
    checkpoint = trained(run_of(tmp_path / "d", None, epochs=1))
    certified = checkpoint.spec.certified
    assert certified.objective == "untrained" and not certified.has_trained_head
    assert {check.name: check.findings for check in verify(checkpoint.path).checks if check.findings} == {}
    card = (checkpoint.path / "README.md").read_text()
    assert "only the denoiser was trained" in card and "zoo denoise CLASSIFIER --with MODEL" in card
    assert "zoo train --task TASK --init" not in card and "not known." not in card
    with pytest.raises(RecipeError, match="is a denoiser without a trained classifier"):
        trained(run_of(tmp_path / "e", checkpoint, Standard()))
    with pytest.raises(RecipeError, match="needs the predictions of a classifier"):
        trained(run_of(tmp_path / "f", None, replace(SMALL, loss="stability")))
    with pytest.raises(RequestError, match="untrained"):
        trained(run_of(tmp_path / "g", checkpoint, replace(SMALL, loss="stability")))


def test_another_method_starts_from_the_classifier_without_its_denoiser(classifier, tmp_path):
    checkpoint = trained(run_of(tmp_path / "d", classifier, epochs=1))
    run = run_of(tmp_path / "e", checkpoint, Standard(), epochs=1)
    assert run.parent_sha256 == classifier.weights_sha256
    network = trainer.starting_network(run.task, run.recipe, seed=0, parent=checkpoint)
    assert network.denoiser is None
    assert torch.equal(network.backbone.conv1.weight, classifier.load_backbone().conv1.weight)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("image_size=32", "cannot set image_size=32"),
        ("normalization=none", "cannot set normalization=none"),
        ("freeze=layer1", "freeze=layer1 does not apply"),
        ("architecture=resnet18", "cannot set architecture=resnet18"),
        ("objective.downsampling=3", "must divide the image size, 16"),
    ],
)
def test_settings_that_would_change_the_classifier_are_refused(assignment, said, classifier, tmp_path):
    run = run_of(tmp_path / "d", classifier)
    with pytest.raises(RecipeError, match=said):
        trained(replace(run, recipe=override(run.recipe, [assignment])))


def test_a_denoiser_of_another_shape_is_not_continued_and_the_command_takes_the_parents(classifier, tmp_path):
    from training.commands.options import resolve_recipe

    first = trained(run_of(tmp_path / "d", classifier, epochs=1))
    with pytest.raises(RecipeError, match=r"DnCNN of 3 convolutions with 4 channels.* asks for a DnCNN of 4"):
        trained(run_of(tmp_path / "e", first, replace(SMALL, depth=4)))
    recipe = resolve_recipe(
        "quick", "denoise", first, {"objective.sigma": 0.25}, [],
        task=open_task("digits", data_dir=tmp_path), device=torch.device("cpu"), console=Console(quiet=True),
    )  # fmt: skip
    assert recipe.objective == replace(SMALL, sigma=0.25) and recipe.architecture == "resnet10-quarter"


def test_the_labels_do_not_depend_on_the_mode_of_the_network(classifier):
    network = classifier.load_network()
    x_BCHW = torch.rand(4, 3, 16, 16)
    with torch.inference_mode():
        expected_B = network(x_BCHW).argmax(dim=1)
    assert torch.equal(predicted_labels(network.train(), x_BCHW), expected_B) and network.backbone.training


def test_quick_trains_denoisers_with_adam():
    assert quick(Denoise()).optimizer == Adam(lr=5e-3) and quick(Denoise()).validation_share == 0
