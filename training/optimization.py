"""One optimization step on a batch, in one process or distributed over several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.collectives import num_ranks, sum_over_ranks
from training.objectives import Batch, ObjectiveOutput
from training.optimizers import optimizer_for
from training.precision import MixedPrecision, Precision, resolve_precision
from training.recipe import TrainingRecipe
from zoo.models.preprocessing import to_pixels
from zoo.smoothing.backends import arithmetic

LossOf = Callable[[nn.Module, Batch], ObjectiveOutput]


@dataclass(frozen=True, slots=True)
class StepValues:
    """Metrics of one training step: means over the whole batch, and the gradient's norm before clipping."""

    loss: float
    gradient_norm: float
    metrics: Mapping[str, float]


class Optimization:
    """The network in the form that an objective receives (`model`), and its optimizer.

    Gradients are the mean over all images of a batch, independent of the process that forwards an image. Over several
    GPUs batch normalization is synchronized. Over several CPU processes each process normalizes its own share of the
    batch, and the checkpoint keeps the first rank's running statistics.
    """

    def __init__(self, network: nn.Module, recipe: TrainingRecipe, device: torch.device) -> None:
        self.recipe = recipe
        if device.index is not None:
            torch.cuda.set_device(device)  # Accelerate uses the current device
        AcceleratorState._reset_state(
            reset_partial_state=True
        )  # Accelerate keeps its settings from an earlier run in the process
        self.accelerator = Accelerator(cpu=device.type == "cpu")
        self.device = self.accelerator.device
        self.precision: Precision = resolve_precision(recipe.precision, self.device)
        self.dtype = torch.float64 if self.precision == "float64" else torch.float32

        layout = _layout(recipe, self.device)
        network.to(self.device, self.dtype).to(memory_format=layout)
        self.is_synchronized = num_ranks() > 1 and self.device.type == "cuda"
        self.network = _synchronized(network) if self.is_synchronized else network
        if recipe.compile:
            self.network.compile()
        model = MixedPrecision(self.network) if self.precision == "bfloat16" else self.network
        optimizer = optimizer_for(self.network.parameters(), recipe.optimizer)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        if isinstance(self.model, DistributedDataParallel):
            # Otherwise a second forward pass would overwrite statistics that the gradient of the first pass needs.
            self.model.forward_sync_buffers = False

    def to_pixels(self, x_bytes: Tensor) -> Tensor:
        """The uint8 images as pixels in [0, 1], on the network's device and in its dtype."""
        return to_pixels(x_bytes.to(self.device, non_blocking=True)).to(self.dtype)

    def step(
        self,
        parts: Sequence[Batch],
        loss_of: LossOf,
        *,
        batch_size: int,
        rate: float,
        check: Callable[[str, float], None],
    ) -> StepValues:
        """Updates the weights once and returns the step's metrics. Collective.

        Args:
            parts: this process's parts of the batch, at least one.
            loss_of: the objective's loss of the model on one part.
            batch_size: number of images in the batch over all processes.
            rate: learning rate.
            check: called with a name and a value before the update, first for the loss and then for the gradient's
                norm; may raise.
        """
        totals: Tensor | None = None
        names: list[str] = []
        for index, part in enumerate(parts):
            share = len(part.labels_B) / batch_size
            with self._arithmetic(), self._unsynchronized() if index + 1 < len(parts) else nullcontext():
                output = loss_of(self.model, part)
                names = list(output.metrics)
                values = torch.stack(
                    [output.loss.detach(), *(value.to(output.loss) for value in output.metrics.values())]
                )
                totals = values * share if totals is None else totals + values * share
                # The factor num_ranks() undoes the averaging of gradients over the ranks.
                self.accelerator.backward(output.loss * (share * num_ranks()))
        assert totals is not None, "a batch has at least one part"
        totals = sum_over_ranks(totals)
        limit = self.recipe.gradient_clip_norm
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), torch.inf if limit is None else limit)
        # One copy, for which the host waits once per step. float64 holds values of every dtype exactly.
        loss, *metrics, gradient_norm = torch.cat([totals.double(), norm.double().reshape(1)]).tolist()
        check("loss", loss)
        check("gradient norm", gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return StepValues(loss, gradient_norm, dict(zip(names, metrics, strict=True)))

    def _arithmetic(self) -> AbstractContextManager[None]:
        """The arithmetic of what MixedPrecision, if there is one, leaves in float32."""
        return arithmetic("tf32" if self.precision == "tf32" else "float32", self.device.type)

    def _unsynchronized(self) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = self.accelerator.no_sync(self.model)
        return context


def _synchronized(network: nn.Module) -> nn.Module:
    from timm.layers.norm_act import convert_sync_batchnorm

    # torch's function would drop the activation inside timm's batch normalizations.
    converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return converted


def _layout(recipe: TrainingRecipe, device: torch.device) -> torch.memory_format:
    is_last = recipe.memory_format == "channels-last" or (recipe.memory_format == "auto" and device.type == "cuda")
    return torch.channels_last if is_last else torch.contiguous_format
