"""Objectives, attacks, a training step and evaluation on a simulated device: nothing of theirs stays on the CPU."""

import pytest
import torch
from torch import nn

from benchmarks.gpu.methods import ATTACK_SETTINGS, BATCH_SIZE, NUM_CLASSES, SIZE, THREATS, small_network
from tests.simulated_device import CUDA, DeviceMixError, simulated_device
from training.denoising import module_of_loss
from training.evaluation.attack_targets import attack_target_for
from training.evaluation.attacks import find_attack
from training.objectives import Batch, Progress
from training.objectives.denoise import Denoise
from training.objectives.table import OBJECTIVES
from zoo.models.denoiser import Denoiser
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


def test_labels_that_were_left_on_the_cpu_are_noticed():
    with simulated_device(), pytest.raises(DeviceMixError):
        nn.functional.cross_entropy(torch.zeros(2, 3).to(CUDA), torch.tensor([0, 1]))
