"""Section `training`: images per second of the trainer's step and of a handwritten loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.methods import NUM_CLASSES, finite, loss_by, random_batch
from benchmarks.gpu.racing import Contender, race
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import seconds
from benchmarks.training import OBJECTIVES, adversarial, consistency
from training.optimization import Optimization
from training.recipe import TrainingRecipe
from zoo.models.architecture import build_network
from zoo.models.spec import Preprocessing

PLAIN_LOSSES: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "consistency": consistency,
    "adversarial": adversarial,
}
NAMES = {"consistency": "consistency, m = 2", "adversarial": "PGD-3 adversarial training"}
STEPS = 4


def compare(settings: Settings, findings: Findings) -> None:
    """Races the trainer's step, in float32 and in precision `auto`, against a plain loop.

    The objectives are consistency and PGD-3; the images are already on the device. The plain loop uses TF32, which is
    torch's default for convolutions; the trainer's float32 does not.
    """
    batch_size = 4 if settings.is_tiny else 64
    findings["network"] = f"{settings.architecture}, {settings.size} pixels, batch {batch_size}"
    for name in PLAIN_LOSSES:
        contenders = {"a plain loop, tf32": plain_loop(name, batch_size, settings)}
        for precision in ("float32", "auto"):
            contenders[f"the trainer's step, {precision}"] = trainer(name, precision, batch_size, settings)
        race(contenders, settings, findings, title=f"images per second, {NAMES[name]}")


def network_of(settings: Settings) -> nn.Module:
    torch.manual_seed(0)
    preprocessing = Preprocessing(resize=settings.size, crop=settings.size)
    return build_network(settings.architecture, num_classes=NUM_CLASSES, preprocessing=preprocessing)


def trainer(name: str, precision: str, batch_size: int, settings: Settings) -> Contender:
    """The contender that runs the trainer's steps (`training.optimization`): checks, clipping, noise keyed by image."""
    recipe = TrainingRecipe(
        objective=OBJECTIVES[name],
        architecture=settings.architecture,
        batch_size=batch_size,
        gradient_clip_norm=10.0,
        precision=precision,
    )
    optimization = Optimization(network_of(settings), recipe, settings.device)
    optimization.model.train()
    batch, loss_of = random_batch(optimization, size=settings.size, num=batch_size), loss_by(recipe.objective)

    def step() -> None:
        optimization.step([batch], loss_of, batch_size=batch_size, rate=0.01, check=finite)

    return Contender("float32", images_per_second(step, batch_size, settings))


def plain_loop(name: str, batch_size: int, settings: Settings) -> Contender:
    """The contender that runs handwritten steps without checks, clipping or a log."""
    network = network_of(settings).to(settings.device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    x_BCHW = torch.rand(batch_size, 3, settings.size, settings.size, device=settings.device)
    labels_B = torch.arange(batch_size, device=settings.device) % NUM_CLASSES

    def step() -> None:
        loss = PLAIN_LOSSES[name](network, x_BCHW, labels_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Contender("tf32", images_per_second(step, batch_size, settings), is_reference=True)


def images_per_second(step: Callable[[], None], batch_size: int, settings: Settings) -> Callable[[], float]:
    num_steps = 1 if settings.is_tiny else STEPS

    def steps() -> None:
        for _ in range(num_steps):
            step()

    return lambda: num_steps * batch_size / seconds(steps, settings)
