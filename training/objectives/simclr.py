"""Contrastive pre-training without labels: SimCLR.

Sources: Chen et al. 2020, sections 2 and 3; the settings of VISSL's ResNet-50.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.attacks.target import Network
from training.collectives import gather_rows
from training.objectives.objective import (
    Batch,
    Objective,
    ObjectiveOutput,
    Progress,
    require_at_least,
    require_positive,
)
from training.tasks.task import Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class SimClr(Objective):
    """NT-Xent: each view has to identify the other view of its image among all other views of the batch.

    With z the L2-normalized projections of two augmented views of each of B images, the loss of view i of the 2B views
    with partner j is (equation 1):

        -log( exp(z_i . z_j / temperature) / sum over k != i of exp(z_i . z_k / temperature) )

    averaged over the views. Over several processes the views of all processes are compared. During training a
    projection of two layers (`hidden`, `outputs`) replaces the last layer; it is not part of the checkpoint. Labels are
    not used.
    """

    sigma: ClassVar[None] = None
    learns_classes: ClassVar[bool] = False
    num_views: ClassVar[int] = 2
    augmentation: ClassVar[Augmentation] = "simclr"

    temperature: float = 0.1
    hidden: int = 2048
    outputs: int = 128

    def __post_init__(self) -> None:
        require_at_least(self, hidden=1, outputs=1)
        require_positive(self, "temperature")

    def head(self, num_features: int) -> nn.Module:
        return nn.Sequential(nn.Linear(num_features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.outputs))

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        first_BD, second_BD = F.normalize(model(batch.x_BCHW), dim=1).chunk(2)
        loss, is_found_V = nt_xent(first_BD, second_BD, temperature=self.temperature)
        return ObjectiveOutput(loss=loss, metrics={"contrastive_accuracy": is_found_V.float().mean()})


def nt_xent(first_BD: Tensor, second_BD: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """The mean loss of this process's 2B views, and whether each view's partner is the nearest of all views.

    Rows are unit vectors; row b of both tensors belongs to the same image.
    """
    own_VD = torch.cat([first_BD, second_BD])
    all_WD, start = gather_rows(own_VD)
    num_own, num_images = len(own_VD), len(first_BD)
    similarity_VW = own_VD @ all_WD.T / temperature
    own_V = torch.arange(num_own, device=own_VD.device)
    similarity_VW[own_V, start + own_V] = -torch.inf
    partner_V = start + (own_V + num_images) % num_own
    return F.cross_entropy(similarity_VW, partner_V), similarity_VW.argmax(dim=1) == partner_V
