"""What each of two processes does in the tests of objectives that exchange tensors.

A module of its own, so that a fresh process can import it."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from tests.training.objectives.samples import Smooth, rng
from training.collectives import gather_rows
from training.objectives import Batch, Progress
from training.objectives.adversarial import Adversarial
from training.objectives.simclr import SimClr

SHARES = (3, 2)


def images(num_images: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(6)
    return torch.rand(num_images, 3, 5, 5, generator=generator, dtype=torch.float64)


def contrastive_loss(network: Smooth, start: int, end: int) -> torch.Tensor:
    """SimCLR's on these images of five, whose second view is the first with the pixels in another order."""
    first_BCHW = images(sum(SHARES))[start:end]
    numbers_B = torch.arange(start, end)
    batch = Batch(torch.cat([first_BCHW, first_BCHW.flip(3)]), numbers_B, numbers_B)
    return SimClr(temperature=0.5)(network, batch, progress=Progress(epochs=0.0), generator=rng()).loss


def perturbed_loss(network: Smooth, start: int, end: int) -> torch.Tensor:
    """Cross-entropy on these images of four where the weights are perturbed against it."""
    numbers_B = torch.arange(start, end)
    batch = Batch(images(4)[start:end], numbers_B % 3, numbers_B)
    objective = Adversarial(epsilon=0.0, awp_gamma=0.5)
    return objective(network, batch, progress=Progress(epochs=0.0), generator=rng()).loss


def parameter_gradient(loss: torch.Tensor, network: Smooth) -> torch.Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])


def act_as_rank(rank: int, folder: Path) -> None:
    """Leaves this rank's results in a file. The ranks meet over a file too: no port is needed."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    try:
        network, start = Smooth(), sum(SHARES[:rank])
        gathered, offset = gather_rows(torch.full((SHARES[rank], 2), float(rank)))
        contrastive = contrastive_loss(network, start, start + SHARES[rank])
        gradient = parameter_gradient(contrastive * len(SHARES) * SHARES[rank] / sum(SHARES), network)
        perturbed = perturbed_loss(network, 2 * rank, 2 * rank + 2)
        results = {
            "gathered": gathered,
            "offset": offset,
            "contrastive": contrastive.detach(),
            "contrastive_gradient": gradient,
            "perturbed": perturbed.detach(),
            "perturbed_gradient": parameter_gradient(perturbed, network),
        }
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
