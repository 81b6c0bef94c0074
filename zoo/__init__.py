"""What is a checkpoint, where does it live, and what does it guarantee?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    import torch

    from zoo.smoothing.classifier import SmoothedClassifier

__all__ = ["ZooError", "load", "smooth"]
__version__ = "0.1.0"


def load(model: str, *, revision: str | None = None) -> torch.nn.Module:
    """The network of a checkpoint in eval mode: `x_BCHW` in [0, 1] -> `logits_BK`.

    `model` is a checkpoint directory, a Hub id `owner/name[@revision]` or a catalog id. Every file is checked against
    the manifest first.
    Raises: CheckpointError, HubError.
    """
    from zoo.locate import locate

    network: torch.nn.Module = locate(model, revision=revision).load_network()
    return network


def smooth(model: str, *, revision: str | None = None) -> SmoothedClassifier:
    """The smoothed classifier of a checkpoint, at the sigma it was trained for and Cohen's n0, n and alpha.

    Raises: CheckpointError, HubError; CertificationError if the checkpoint names no sigma.
    """
    from zoo.errors import CertificationError
    from zoo.locate import locate
    from zoo.runtime import default_batch_size, open_backend
    from zoo.smoothing import SamplingOptions, SmoothedClassifier, SmoothingSpec

    checkpoint = locate(model, revision=revision)
    sigma = checkpoint.spec.certified.sigma
    if sigma is None:
        raise CertificationError(
            f"{model} names no sigma: it was not trained under noise; build a SmoothedClassifier yourself"
        )
    return SmoothedClassifier(
        open_backend(checkpoint),
        num_classes=checkpoint.spec.num_classes,
        smoothing=SmoothingSpec(sigma=sigma),
        options=SamplingOptions(batch_size=default_batch_size(checkpoint, "cpu")),
    )
