"""Objectives, attacks, a training step and evaluation on a simulated device: nothing of theirs stays on the CPU."""

import json
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from benchmarks.gpu.methods import ATTACK_SETTINGS, BATCH_SIZE, NUM_CLASSES, SIZE, THREATS, small_network
from tests.simulated_device import CUDA, DeviceMixError, simulated_device
from training import trainer
from training.denoising import module_of_loss
from training.distributed import SINGLE_PROCESS
from training.evaluation.attack_targets import attack_target_for
from training.evaluation.attacks import find_attack
from training.evaluation.empirical import evaluate_network
from training.objectives import Batch, Progress
from training.objectives.denoise import Denoise
from training.objectives.gaussian import Gaussian
from training.objectives.table import OBJECTIVES
from training.recipe import TrainingRecipe
from training.run import TrainingRun
from training.run_folder import RunFolder
from training.tasks.task import ArrayImages, Task
from zoo.models.denoiser import Denoiser
from zoo.models.spec import Preprocessing
from zoo.smoothing import TorchBackend

VARIANTS = {
    **OBJECTIVES,
    "smoothadv, ddn": lambda: OBJECTIVES["smoothadv"](attack="ddn"),
    "smoothmix, one step": lambda: OBJECTIVES["smoothmix"](one_step_adversary=True),
    "adversarial, linf, awp": lambda: OBJECTIVES["adversarial"](norm="linf", epsilon=8 / 255, awp_gamma=0.01),
    "trades, awp": lambda: OBJECTIVES["trades"](awp_gamma=0.005),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_an_objective_and_its_gradient_stay_on_the_device(name):
    objective = VARIANTS[name]()
    network = small_network()
    head = objective.head(network.backbone.fc.in_features)
    if head is not None:
        network.backbone.fc = head
    if isinstance(objective, Denoise):
        network.denoiser = Denoiser(objective.shape)
    with simulated_device():
        model = module_of_loss(network, objective).to(CUDA).to(memory_format=torch.channels_last).train()
        x_BCHW = torch.rand(BATCH_SIZE * objective.num_views, 3, SIZE, SIZE).to(CUDA)
        labels_B = (torch.arange(BATCH_SIZE) % NUM_CLASSES).to(CUDA)
        batch = Batch(x_BCHW, labels_B, torch.arange(BATCH_SIZE))
        output = objective(model, batch, progress=Progress(20.5), generator=torch.Generator().manual_seed(1))
        assert output.loss.device == CUDA
        output.loss.backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert gradients and all(gradient.device == CUDA for gradient in gradients)


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("name", [name for name in ATTACK_SETTINGS if name != "autoattack"])
def test_an_attack_stays_on_the_device(name, norm):
    network = small_network()
    with simulated_device():
        network = network.to(CUDA).eval()
        x_BCHW = torch.rand(BATCH_SIZE, 3, SIZE, SIZE).to(CUDA)
        with torch.no_grad():
            labels_B = network(x_BCHW).argmax(dim=1).cpu()
        attack = find_attack(name, THREATS[norm], num_classes=NUM_CLASSES, **ATTACK_SETTINGS[name])
        base = TorchBackend(network, num_classes=NUM_CLASSES)
        target = attack_target_for(base, attack, batch_size=64)
        rows = target.rows(x_BCHW, labels_B, torch.arange(BATCH_SIZE))
    assert len(rows) == BATCH_SIZE and max(row.distance for row in rows) <= THREATS[norm].epsilon


@pytest.fixture
def one_gpu(monkeypatch):
    """What Accelerate and the streams of random numbers ask of torch.cuda, answered as by a machine with one GPU."""
    answers = {
        "is_available": True, "is_bf16_supported": True, "device_count": 1, "current_device": 0, "set_device": None,
        "get_device_name": "a GPU", "manual_seed": None, "get_rng_state": None, "set_rng_state": None,
        "device": nullcontext(),
    }  # fmt: skip
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    # A module that moves to the simulated device gets new parameters, which its optimizer would not know.
    monkeypatch.setattr("training.optimization.Accelerator", partial(Accelerator, device_placement=False))
    with simulated_device() as traffic:
        yield traffic


def test_the_trainer_trains_and_validates_on_the_device_with_few_waits(one_gpu, tmp_path):
    labels = [index % 2 for index in range(10)]
    pixels = np.full((10, 8, 8), 40, dtype=np.uint8) + 150 * np.array(labels, dtype=np.uint8)[:, None, None]
    images = ArrayImages(pixels, labels)
    task = Task(
        name="bright", class_names=("dark", "bright"), preprocessing=Preprocessing(resize=8, crop=8),
        augmentation="none", train=images, test=images,
    )  # fmt: skip
    recipe = TrainingRecipe(
        objective=Gaussian(sigma=0.1), architecture="resnet10-quarter", epochs=1, batch_size=4, precision="float32"
    )
    run = TrainingRun(task=task, recipe=recipe, seed=0, output=tmp_path)
    loop = trainer._Loop(run, RunFolder(tmp_path), torch.device("cuda", 0), SINGLE_PROCESS)
    loop.loader.pin_memory = False  # which only CUDA can
    loop.prepare(None)
    before = [parameter.detach().clone() for parameter in loop.network.parameters()]
    one_gpu.clear()
    losses = list(loop._run_epoch(SimpleNamespace(write=lambda *_, **__: None), lambda loss: None))
    num_in, num_waits = one_gpu.copies_in.total(), one_gpu.waits.total()
    assert len(losses) == 2 and num_in <= 3 * 2 and num_waits <= 2 * 2, one_gpu
    after = list(loop.network.parameters())
    assert not all(torch.equal(old.cpu(), new.detach().cpu()) for old, new in zip(before, after, strict=True))
    assert all(parameter.device == CUDA for parameter in after)
    assert set(loop._validated()) == {"accuracy_under_noise", "mean_per_class"}


@pytest.mark.parametrize(("device", "name"), [("cpu", "cpu"), ("cuda:0", "a GPU")])
def test_a_run_names_the_device_that_it_uses(one_gpu, tmp_path, device, name):
    RunFolder(tmp_path / ".run").begin(SimpleNamespace(as_json=dict), device=torch.device(device))
    assert json.loads((tmp_path / ".run" / "environment.json").read_text())["device"] == name


def test_an_evaluation_stays_on_the_device():
    labels = [index % 2 for index in range(6)]
    images = ArrayImages(np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE), dtype=np.uint8), labels)
    preprocessing = Preprocessing(resize=SIZE, crop=SIZE)
    task = Task(
        name="six", class_names=tuple("abcdefghij"[:NUM_CLASSES]), preprocessing=preprocessing, augmentation="none",
        train=images, test=images,
    )  # fmt: skip
    results, draws_noise = [], []
    for device in (CUDA, torch.device("cpu")):
        with simulated_device() as traffic:
            base = TorchBackend(small_network(), num_classes=NUM_CLASSES, device=device)
            results.append(evaluate_network(base, task, preprocessing, sigmas=[0.25], batch_size=4, seed=0))
        draws_noise.append(any(line.startswith("streams.py") for line in traffic.copies_in))
    on_device, on_cpu = (result.model_dump(exclude={"backend", "noise"}) for result in results)
    assert on_device == on_cpu and draws_noise == [True, False]


def test_labels_that_were_left_on_the_cpu_are_noticed():
    with simulated_device(), pytest.raises(DeviceMixError):
        nn.functional.cross_entropy(torch.zeros(2, 3).to(CUDA), torch.tensor([0, 1]))
