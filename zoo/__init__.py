"""What is a checkpoint, where does it live, and what does it guarantee?

load               a checkpoint's network
smooth             its smoothed classifier, at its sigma
preprocess         a picture as the tensor that both take and a certificate covers
CertifiedNetwork   what load returns
ZooError           what every refusal is

MODEL, which they take, is a checkpoint directory, a Hub id `owner/name[@revision]` or a catalog id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image
    import torch

    from zoo.loading.pretrained import CertifiedNetwork
    from zoo.smoothing.classifier import SmoothedClassifier

__all__ = ["CertifiedNetwork", "ZooError", "load", "preprocess", "smooth"]
__version__ = "0.1.0"


def load(model: str | Path, *, revision: str | None = None) -> CertifiedNetwork:
    """The network of MODEL in eval mode, a torch.nn.Module: `x_BCHW` in [0, 1] -> `logits_BK`.

    Every file is checked against the manifest first, and nothing in it is ever executed.
    Raises: RequestError if `model` is no MODEL; CheckpointError, HubError.
    """
    from zoo.loading.pretrained import CertifiedNetwork

    return CertifiedNetwork.from_pretrained(model, revision=revision)


def smooth(
    model: str | Path, *, revision: str | None = None, n0: int = 100, n: int = 100_000, alpha: float = 0.001
) -> SmoothedClassifier:
    """The smoothed classifier of MODEL at the sigma that it was trained for; `n0`, `n` and `alpha` are Cohen's.

    Raises: RequestError if `model` is no MODEL or has an untrained head; CheckpointError, HubError;
    CertificationError if the checkpoint names no sigma, or no certificate can exist for `n0`, `n` and `alpha`.
    """
    from zoo.checkpoints.checkpoint import require_trained_head
    from zoo.errors import CertificationError
    from zoo.loading.backend import default_batch_size, open_backend
    from zoo.loading.locate import locate
    from zoo.smoothing import SamplingOptions, SmoothedClassifier, SmoothingSpec

    checkpoint = locate(str(model), revision=revision)
    require_trained_head(checkpoint)
    sigma = checkpoint.spec.certified.sigma
    if sigma is None:
        raise CertificationError(
            f"{model} names no sigma: it was not trained under noise; build a SmoothedClassifier yourself"
        )
    smoothing = SmoothingSpec(sigma=sigma, n0=n0, n=n, alpha=alpha)
    return SmoothedClassifier(
        open_backend(checkpoint),
        num_classes=checkpoint.spec.num_classes,
        smoothing=smoothing,
        options=SamplingOptions(batch_size=default_batch_size(checkpoint, "cpu")),
    )


def preprocess(picture: str | Path | PIL.Image.Image, model: str | Path | CertifiedNetwork) -> torch.Tensor:
    """`x_CHW` in [0, 1]: a picture, or an image file's, as the network of `model` takes it and a certificate covers it.

    For many pictures load the network once, and give it or use its `transforms`.
    Raises: ImageError if the file is no picture, or has more than 8 bits a channel; what `load` raises.
    """
    from PIL import Image

    from zoo.loading.pretrained import CertifiedNetwork
    from zoo.models.decoding import read_picture

    network = model if isinstance(model, CertifiedNetwork) else load(model)
    return network.transforms(picture if isinstance(picture, Image.Image) else read_picture(picture))


def __getattr__(name: str) -> Any:
    """CertifiedNetwork, once it is asked for: a bare `import zoo` does not import torch."""
    if name == "CertifiedNetwork":
        from zoo.loading.pretrained import CertifiedNetwork

        return CertifiedNetwork
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
