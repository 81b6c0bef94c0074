"""Sections `objectives` and `attacks`: every training method and every attack runs on the device."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.gpu.findings import Findings, SkippedError
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from training.denoising import module_of_loss
from training.evaluation.attack_targets import attack_target_for
from training.evaluation.attacks import ATTACKS, find_attack
from training.objectives import Batch, Objective, ObjectiveOutput, Progress
from training.objectives.denoise import Denoise
from training.objectives.table import OBJECTIVES
from training.optimization import Optimization
from training.recipe import TrainingRecipe
from training.threat import ThreatModel
from zoo.models.architecture import NormalizedNetwork, build_network
from zoo.models.denoiser import Denoiser
from zoo.models.spec import Preprocessing
from zoo.smoothing import TorchBackend

ARCHITECTURE, SIZE, NUM_CLASSES = "resnet10-quarter", 32, 10
BATCH_SIZE = 4
THREATS = {"l2": ThreatModel(norm="l2", epsilon=0.5), "linf": ThreatModel(norm="linf", epsilon=8 / 255)}
ATTACK_SETTINGS: dict[str, dict[str, float | int]] = {
    "pgd": {"num_steps": 3, "num_restarts": 2},
    "apgd": {"num_steps": 6},
    "smoothed-pgd": {"num_steps": 2, "sigma": 0.5, "num_noise_samples": 4, "n": 50},
    "autoattack": {},
}


def objectives(settings: Settings, findings: Findings) -> None:
    """Takes one training step with each objective, in precision `auto`, and requires that weights change."""
    findings["one step"] = {}
    for name, make in OBJECTIVES.items():
        with findings.part(name):
            findings["one step"][name] = take_step(make(), settings)


def take_step(objective: Objective, settings: Settings) -> dict[str, object]:
    """Takes one step; returns the loss, the norm of its gradient and the precision."""
    recipe = TrainingRecipe(objective=objective, architecture=ARCHITECTURE, batch_size=BATCH_SIZE)
    network = small_network()
    head = objective.head(network.backbone.fc.in_features)
    if head is not None:
        network.backbone.fc = head
    if isinstance(objective, Denoise):
        network.denoiser = Denoiser(objective.shape)
    optimization = Optimization(module_of_loss(network, objective), recipe, settings.device)
    optimization.model.train()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    values = optimization.step(
        [random_batch(optimization, objective.num_views)],
        loss_by(objective),
        batch_size=BATCH_SIZE,
        rate=0.01,
        check=finite,
    )
    moved = sum(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    require(values.gradient_norm > 0 and moved > 0, "the step changed no weight")
    return {"loss": values.loss, "gradient norm": values.gradient_norm, "precision": optimization.precision}


def loss_by(objective: Objective) -> Callable[[nn.Module, Batch], ObjectiveOutput]:
    """The loss function with which the trainer calls the objective, at epoch 20.5."""

    def loss_of(model: nn.Module, batch: Batch) -> ObjectiveOutput:
        return objective(model, batch, progress=Progress(20.5), generator=torch.Generator().manual_seed(1))

    return loss_of


def finite(name: str, value: float) -> None:
    """Raises AssertionError unless the value is finite."""
    require(math.isfinite(value), f"the {name} is {value}")


def random_batch(optimization: Optimization, num_views: int = 1, *, size: int = SIZE, num: int = BATCH_SIZE) -> Batch:
    """A batch of random images on the optimization's device, with classes in turn."""
    x_bytes = torch.randint(0, 256, (num * num_views, 3, size, size), dtype=torch.uint8)
    labels_B = torch.arange(num, device=optimization.device) % NUM_CLASSES
    return Batch(optimization.to_pixels(x_bytes), labels_B, torch.arange(num))


def small_network() -> NormalizedNetwork:
    torch.manual_seed(0)
    preprocessing = Preprocessing(resize=SIZE, crop=SIZE)
    return build_network(ARCHITECTURE, num_classes=NUM_CLASSES, preprocessing=preprocessing)


def attacks(settings: Settings, findings: Findings) -> None:
    """Runs each attack in both norms on correctly classified images, and requires that no image leaves its ball."""
    network = small_network().to(settings.device).eval()
    x_BCHW = torch.rand(BATCH_SIZE, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)).to(settings.device)
    with torch.no_grad():
        labels_B = network(x_BCHW).argmax(dim=1).cpu()
    base = TorchBackend(network, num_classes=NUM_CLASSES)
    findings["attack"] = {}
    for name in ATTACKS:
        for norm, threat in THREATS.items():
            with findings.part(f"{name}, {norm}"):
                if name == "autoattack":
                    require_autoattack(settings)
                attack = find_attack(name, threat, num_classes=NUM_CLASSES, **ATTACK_SETTINGS[name])
                target = attack_target_for(base, attack, batch_size=64)
                rows = target.rows(x_BCHW, labels_B, torch.arange(BATCH_SIZE))
                farthest = max(row.distance for row in rows)
                require(
                    farthest <= threat.epsilon,
                    f"an attacked image is at distance {farthest}; epsilon is {threat.epsilon}",
                )
                findings["attack"][f"{name}, {norm}"] = {
                    "images": len(rows),
                    "robust": sum(bool(row.robust) for row in rows),
                    "largest distance": farthest,
                    "epsilon": threat.epsilon,
                }


def require_autoattack(settings: Settings) -> None:
    if settings.is_tiny:
        raise SkippedError("AutoAttack takes too long for a tiny run")
    import pyautoattack  # noqa: F401
