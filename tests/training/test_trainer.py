"""The trainer: learns, resumes to the same weights, and stops loudly."""

import io
import json
import signal
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from tests.dying import die_in
from tests.parallel import computing_on
from tests.processes import ZooProcess
from training import trainer
from training.distributed import SINGLE_PROCESS
from training.objectives import ObjectiveOutput
from training.objectives.gaussian import Gaussian
from training.objectives.standard import Standard
from training.recipe import Schedule, Sgd, TrainingRecipe
from training.run import TrainingRun
from training.run_folder import RunFolder
from training.starting_point import starting_network
from training.tasks.loading import EvaluationImages, ShuffledBatches
from training.tasks.task import ArrayImages, Task
from training.trainer import train
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.errors import CheckpointError, DivergenceError, RecipeError
from zoo.models.spec import Preprocessing

pytestmark = pytest.mark.usefixtures("two_threads")

QUIET = Console(quiet=True)
CPU = torch.device("cpu")


def bright_or_dark(num=40):
    """Two classes that any network tells apart."""
    labels = [index % 2 for index in range(num)]
    pixels = np.random.default_rng(0).integers(0, 60, (num, 8, 8), dtype=np.uint8)
    pixels += np.array(labels, dtype=np.uint8)[:, None, None] * 150
    images = ArrayImages(pixels, labels)
    return Task(
        name="bright", class_names=("dark", "bright"), preprocessing=Preprocessing(resize=16, crop=16),
        augmentation="shift-flip", train=images, test=images,
    )  # fmt: skip


def recipe(**fields):
    defaults = {"objective": Gaussian(sigma=0.1), "architecture": "resnet10-quarter", "epochs": 3, "batch_size": 8}
    return TrainingRecipe(**(defaults | fields))


def run_of(output, **fields):
    return TrainingRun(task=bright_or_dark(), recipe=recipe(**fields), seed=0, output=output)


def weights(path):
    return load_file(path / "model.safetensors")


def same_weights(a, b):
    return all(torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


def test_a_trained_network_tells_bright_from_dark_and_its_checkpoint_says_how_it_was_made(tmp_path):
    checkpoint = train(run_of(tmp_path / "c"), device=CPU, resume=False, console=QUIET)
    certified = checkpoint.spec.certified
    assert (certified.objective, certified.sigma, certified.task, certified.epochs) == ("gaussian", 0.1, "bright", 3)
    assert certified.hyper_parameters == {"sigma": 0.1} and certified.recipe_digest == recipe().digest()
    network = checkpoint.load_network()
    x_BCHW = torch.stack([torch.full((3, 16, 16), 0.1), torch.full((3, 16, 16), 0.7)])
    assert network(x_BCHW).argmax(dim=1).tolist() == [0, 1]
    assert {path.name for path in (tmp_path / "c").iterdir()} == {*checkpoint.files, "manifest.json", ".run"}


def test_the_validation_indices_are_saved_and_not_trained_on(tmp_path):
    checkpoint = train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET)
    split = json.loads((checkpoint.path / "split.json").read_text())
    assert len(split["validation"]) == 4 and sorted(split["train"] + split["validation"]) == list(range(40))


def test_classes_without_a_training_picture_are_named(tmp_path):
    task = replace(bright_or_dark(), class_names=("dark", "bright", "gray", "red"))
    said = Console(file=io.StringIO())
    run = replace(run_of(tmp_path / "c", epochs=1), task=task)
    train(run, device=CPU, resume=False, console=said)
    assert "note: no training picture of gray, red: the network cannot learn these classes" in said.file.getvalue()
    complete = Console(file=io.StringIO())
    train(run_of(tmp_path / "d", epochs=1), device=CPU, resume=False, console=complete)
    assert "no training picture" not in complete.file.getvalue()


def test_equal_seeds_give_equal_weights_and_a_resumed_run_too(tmp_path, monkeypatch):
    whole = train(run_of(tmp_path / "whole"), device=CPU, resume=False, console=QUIET)
    calls = []
    real = trainer.Batch

    def interrupted(*words):
        calls.append(words)
        if len(calls) == 8:  # in the middle of the second epoch: 36 images make 5 batches
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(trainer, "Batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(run_of(tmp_path / "cut"), device=CPU, resume=False, console=QUIET)
    monkeypatch.undo()
    assert open_checkpoint(tmp_path / "cut").spec.certified.epochs == 1
    train(run_of(tmp_path / "cut"), device=CPU, resume=True, console=QUIET)
    assert same_weights(whole.path, tmp_path / "cut")


FEW = {"epochs": None, "total_steps": 12, "head_steps": 6, "noise_warmup": 0.5, "batch_statistics": "no-layer"}


@pytest.fixture(scope="module")
def few_labels(tmp_path_factory):
    """A starting point, and an uninterrupted run in two phases of six steps, in epochs of five."""
    folder = tmp_path_factory.mktemp("few")
    parent = train(run_of(folder / "parent", epochs=1), device=CPU, resume=False, console=QUIET)
    whole = two_phases(folder / "whole", parent)
    train(whole, device=CPU, resume=False, console=QUIET)
    return parent, whole.output


def two_phases(output, parent, **fields):
    return replace(run_of(output, **(FEW | fields)), parent=parent)


@pytest.mark.parametrize(("last", "epochs"), [(7, 1), (12, 2)], ids=["in the first phase", "in the second phase"])
def test_a_run_in_two_phases_is_resumed_to_the_same_weights_in_either(last, epochs, few_labels, tmp_path, monkeypatch):
    parent, whole = few_labels
    monkeypatch.setattr(trainer, "LEAST_STEPS_PER_ROUND", 1)  # so that every epoch is saved: steps 5, 10 and 12
    real = trainer.Batch
    calls = []

    def interrupted(*words):
        calls.append(words)
        if len(calls) == last:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(trainer, "Batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(two_phases(tmp_path, parent), device=CPU, resume=False, console=QUIET)
    monkeypatch.setattr(trainer, "Batch", real)
    assert open_checkpoint(tmp_path).spec.certified.epochs == epochs
    train(two_phases(tmp_path, parent), device=CPU, resume=True, console=QUIET)
    assert same_weights(whole, tmp_path)


def test_a_run_saved_between_its_phases_is_resumed_to_the_same_weights(few_labels, tmp_path, monkeypatch):
    parent, _ = few_labels
    monkeypatch.setattr(trainer, "LEAST_STEPS_PER_ROUND", 1)
    run = two_phases(tmp_path / "whole", parent, head_steps=5, total_steps=10)
    train(run, device=CPU, resume=False, console=QUIET)
    cut = replace(run, output=tmp_path / "cut")
    real = RunFolder.save_state

    def saved(folder, state):
        real(folder, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunFolder, "save_state", saved)
        train(cut, device=CPU, resume=False, console=QUIET)
    train(cut, device=CPU, resume=True, console=QUIET)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


def test_the_first_phase_changes_the_last_layer_only_and_statistics_stay_those_of_the_start(few_labels, tmp_path):
    parent, whole = few_labels
    only_head = two_phases(tmp_path, parent, total_steps=6)
    train(only_head, device=CPU, resume=False, console=QUIET)
    before, head, after = (weights(path) for path in (parent.path, tmp_path, whole))
    changed = {name for name, value in before.items() if not torch.equal(value, head[name])}
    assert changed == {"fc.weight", "fc.bias"}
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert "conv1.weight" in moved and not any("running" in name for name in moved)


def test_a_run_ends_after_its_steps_in_the_middle_of_an_epoch_and_says_its_scores(few_labels, tmp_path):
    parent, _ = few_labels
    said = Console(file=io.StringIO(), width=200)
    checkpoint = train(two_phases(tmp_path, parent), device=CPU, resume=False, console=said)
    lines = [json.loads(line) for line in (tmp_path / ".run" / "log.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if line["kind"] == "train"]
    assert (
        len(rates) == 12
        and rates[0] == 0.1
        and rates[6] == recipe().optimizer.lr
        and checkpoint.spec.certified.epochs == 3
    )
    assert "epoch 3, step 12/12" in said.file.getvalue() and "%, per class 100.0 %" in said.file.getvalue()
    assert "recipe: gaussian with resnet10-quarter" in said.file.getvalue()


@pytest.mark.slow
def test_a_run_killed_with_sigkill_and_resumed_ends_with_the_weights_of_one_never_killed(
    short_run, zoo_command, tmp_path
):
    output = tmp_path / "killed"
    process = ZooProcess([*short_run.words, output], before=partial(die_in, "training.trainer:Batch:16"))
    assert process.wait() == -signal.SIGKILL, process.stderr.so_far
    assert open_checkpoint(output).spec.certified.epochs == 2, "it died in the third of eight"
    with computing_on(num_threads=1):  # like the process that was killed
        assert zoo_command(*short_run.words, output, "--resume").code == 0
    assert same_weights(short_run.checkpoint, output)


def test_resuming_a_finished_run_keeps_its_measured_results(tmp_path):
    from tests.zoo.cards.test_card import CERTIFICATION
    from tests.zoo.checkpoints.test_writing import ROWS
    from zoo.checkpoints.writing import record_results

    checkpoint = train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET)
    measured = record_results(checkpoint, certification=(CERTIFICATION, ROWS))
    assert train(run_of(tmp_path, epochs=1), device=CPU, resume=True, console=QUIET).files == measured.files


def test_a_checkpoint_that_was_cut_off_from_its_state_is_written_again(tmp_path):
    train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET)
    (tmp_path / "config.json").write_text("{}")
    again = train(run_of(tmp_path, epochs=1), device=CPU, resume=True, console=QUIET)
    assert again.spec.certified.epochs == 1


def test_another_run_is_neither_overwritten_nor_resumed(tmp_path):
    train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET)
    with pytest.raises(RecipeError, match="already contains a run: add --resume"):
        train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET)
    with pytest.raises(RecipeError, match=r"recipe\.batch_size was 8, is 9"):
        train(run_of(tmp_path, epochs=1, batch_size=9), device=CPU, resume=True, console=QUIET)


def test_a_damaged_state_is_named(tmp_path):
    train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET)
    (tmp_path / ".run" / "state.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged"):
        RunFolder(tmp_path / ".run").resume(run_of(tmp_path, epochs=1).identity(SINGLE_PROCESS), device=CPU)


class Explosive(Gaussian):
    """A loss that is not finite from its third call on."""

    def __call__(self, model, batch, *, progress, generator):
        output = Gaussian.__call__(self, model, batch, progress=progress, generator=generator)
        factor = float("nan") if progress.epochs >= 0.4 else 1.0
        return ObjectiveOutput(loss=output.loss * factor, metrics={})


def test_a_loss_that_is_not_finite_stops_with_the_step_and_what_to_change(tmp_path, monkeypatch):
    monkeypatch.setattr("training.run.objective_name", lambda objective: "gaussian")
    monkeypatch.setattr("training.recipe.objective_name", lambda objective: "gaussian")
    with pytest.raises(DivergenceError) as stopped:
        train(run_of(tmp_path, objective=Explosive(sigma=0.1)), device=CPU, resume=False, console=QUIET)
    message = str(stopped.value)
    assert "the loss is nan at step 2 (epoch 1)" in message
    assert "--set optimizer.lr=0.01" in message and "--set gradient_clip_norm=10" in message
    assert not (tmp_path / "model.safetensors").exists()


class Recorder(Gaussian):
    """Keeps what every call was given."""

    calls: ClassVar[list] = []

    def __call__(self, model, batch, *, progress, generator):
        noise = torch.empty(3).normal_(generator=generator)
        type(self).calls.append((batch.x_BCHW.clone(), progress.epochs, tuple(noise.tolist())))
        return ObjectiveOutput(loss=model(batch.x_BCHW).sigmoid().mean(), metrics={})


def test_the_objective_is_given_training_images_only_fresh_noise_and_its_progress(tmp_path, monkeypatch):
    monkeypatch.setattr("training.run.objective_name", lambda objective: "gaussian")
    monkeypatch.setattr("training.recipe.objective_name", lambda objective: "gaussian")
    monkeypatch.setattr(Recorder, "calls", [])
    task = bright_or_dark()
    for number, picture in enumerate(task.train.pixels):
        picture[:] = number  # so that a picture can be recognized
    plain = replace(task, augmentation="none")
    run = TrainingRun(task=plain, recipe=recipe(objective=Recorder(sigma=0.1), epochs=2), seed=0, output=tmp_path)
    train(run, device=CPU, resume=False, console=QUIET)
    split = json.loads((tmp_path / "split.json").read_text())
    seen = [round(float(x[0, 0, 0]) * 255) for x_BCHW, _, _ in Recorder.calls for x in x_BCHW]
    assert sorted(seen) == sorted(split["train"] * 2)
    assert [epochs for _, epochs, _ in Recorder.calls] == [step / 5 for step in range(10)]
    assert len({noise for _, _, noise in Recorder.calls}) == 10


def test_one_step_is_sgd_with_momentum_weight_decay_and_clipping(tmp_path):
    """Against torch's own optimizer on the same batch and noise."""
    fields = {
        "epochs": 1,
        "batch_size": 40,
        "validation_share": 0.0,
        "gradient_clip_norm": 0.01,
        "objective": Standard(),
    }
    run = run_of(tmp_path, **fields, optimizer=Sgd(lr=0.5, weight_decay=0.1))
    reference = starting_network(run.task, run.recipe, seed=run.seed, parent=None)
    plain = replace(run, task=replace(run.task, augmentation="none"))
    train(plain, device=CPU, resume=False, console=QUIET)

    order = next(iter(ShuffledBatches(40, 40, seed=0)))
    images = EvaluationImages(run.task.train, run.task.preprocessing)
    x_BCHW = torch.stack([images[index][0] for index in order]).float() / 255
    labels_B = torch.tensor([images[index][1] for index in order])
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    torch.nn.functional.cross_entropy(reference.train()(x_BCHW), labels_B).backward()
    assert torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.01) > 0.01
    optimizer.step()
    trained = weights(tmp_path)
    for name, value in reference.backbone.state_dict().items():
        assert torch.allclose(trained[name], value, atol=1e-6), name


def test_a_directory_that_holds_something_else_is_not_trained_into(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(RecipeError, match="is not empty"):
        train(run_of(tmp_path), device=CPU, resume=False, console=QUIET)
    with pytest.raises(RecipeError, match="cannot use --output"):
        train(run_of(tmp_path / "README.md"), device=CPU, resume=False, console=QUIET)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_run_that_never_finished_an_epoch_is_begun_again(tmp_path):
    RunFolder(tmp_path / ".run").begin(run_of(tmp_path, epochs=2).identity(SINGLE_PROCESS), device=CPU)
    assert train(run_of(tmp_path, epochs=1), device=CPU, resume=False, console=QUIET).spec.certified.epochs == 1


def test_a_plateau_schedule_ends_before_its_epochs_when_validation_stalls(tmp_path):
    schedule = Schedule(name="plateau", patience=1, drops=0)
    checkpoint = train(run_of(tmp_path, epochs=30, schedule=schedule), device=CPU, resume=False, console=QUIET)
    assert checkpoint.spec.certified.epochs < 30


def test_a_checkpoint_is_a_starting_point_and_only_its_head_may_change(tmp_path):
    parent = train(run_of(tmp_path / "parent", epochs=1), device=CPU, resume=False, console=QUIET)
    child = TrainingRun(
        task=bright_or_dark(),
        recipe=recipe(objective=Standard(), epochs=1),
        seed=1,
        output=tmp_path / "child",
        parent=parent,
    )
    start = starting_network(child.task, child.recipe, seed=1, parent=parent).backbone.state_dict()
    assert all(torch.equal(value, start[name]) for name, value in weights(parent.path).items())
    assert train(child, device=CPU, resume=False, console=QUIET).spec.certified.parent == parent.weights_sha256
    other = TrainingRun(
        task=bright_or_dark(), recipe=recipe(architecture="resnet18"), seed=1, output=tmp_path / "x", parent=parent
    )
    with pytest.raises(CheckpointError, match="is a resnet10-quarter and does not fit"):
        train(other, device=CPU, resume=False, console=QUIET)


def test_scalars_recipe_and_environment_are_kept_in_the_run_folder(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(run_of(tmp_path, epochs=2), device=CPU, resume=False, console=QUIET)
    events = EventAccumulator(str(tmp_path / ".run" / "scalars"))
    events.Reload()
    assert {"train/loss", "train/lr", "train/gradient_norm", "validation/accuracy_under_noise"} <= set(
        events.Tags()["scalars"]
    )
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 11))
    assert (tmp_path / ".run" / "recipe.json").exists() and (tmp_path / ".run" / "environment.json").exists()
