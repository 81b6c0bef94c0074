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
    from zoo.smoothing import Noise, SmoothedClassifier, StoppingRule

__all__ = ["CertifiedNetwork", "ZooError", "load", "preprocess", "smooth"]
__version__ = "0.1.0"


def load(model: str | Path, *, revision: str | None = None) -> CertifiedNetwork:
    """The network of MODEL in eval mode, a torch.nn.Module: `x_BCHW` in [0, 1] -> `logits_BK`.

    Every file is checked against the manifest first, and nothing in it is ever executed.
    Raises: RequestError if `model` is no MODEL; CheckpointError, HubError.

    >>> import zoo
    >>> network = zoo.load("my-model")
    >>> x_CHW = network.transforms("digit.png")
    >>> network.class_names[network(x_CHW[None]).argmax()]
    '4'
    """
    from zoo.loading.pretrained import CertifiedNetwork

    return CertifiedNetwork.from_pretrained(model, revision=revision)


def smooth(
    model: str | Path | CertifiedNetwork,
    *,
    revision: str | None = None,
    device: torch.device | str = "auto",
    backend: str = "auto",
    n0: int = 100,
    n: int | None = None,
    alpha: float = 0.001,
    stopping: StoppingRule | None = None,
    noise: Noise = "gaussian",
) -> SmoothedClassifier:
    """The smoothed classifier of MODEL at the sigma that it was trained for; it takes tensors, pictures and paths.

    - `model`: MODEL, or a network that `load` returned and whose weights nobody has changed since.
    - `device`: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:INDEX".
    - `backend`: "torch", "onnx", or "auto": ONNX Runtime on CPUs and PyTorch on GPUs. Certificates say which it was,
      since each is another base classifier; on a GPU a seed also gives other noise than on a CPU.
    - `n0`, `n`, `alpha`: Cohen's; `n` is 100,000 unless it or a rule is given.
    - `stopping`: when to stop drawing, such as `zoo.smoothing.AtRadius(0.5)`; after `n` draws unless given.
    - `noise`: "gaussian", or "discrete" for a certificate that is exact about 8-bit images.

    Raises: RequestError if `model` is no MODEL, has an untrained head or was changed, or if there is no such device or
    backend; CheckpointError, HubError; CertificationError if the checkpoint names no sigma, or no certificate can
    exist for what is asked.

    >>> import zoo
    >>> from zoo.smoothing import AtRadius
    >>> g = zoo.smooth("my-model", n=1000)
    >>> certificate = g.certify("digit.png")
    >>> certificate.class_name, certificate.radius > 0.5
    ('4', True)
    >>> g = zoo.smooth("my-model", stopping=AtRadius(0.25))  # few draws decide whether one radius holds
    >>> [certificate.radius for certificate in g.certify(["digit.png", "digit.png"])]
    [0.25, 0.25]
    """
    from zoo.checkpoints.checkpoint import require_trained_head
    from zoo.errors import CertificationError
    from zoo.loading.backend import default_batch_size, open_backend
    from zoo.loading.device import pick_device
    from zoo.loading.pretrained import checkpoint_of
    from zoo.models.transforms import Transforms
    from zoo.smoothing import SmoothedClassifier, SmoothingSpec

    checkpoint = checkpoint_of(model, revision=revision)
    require_trained_head(checkpoint)
    spec = checkpoint.spec
    if spec.certified.sigma is None:
        raise CertificationError(
            f"{checkpoint.path} names no sigma: it was not trained under noise; build a SmoothedClassifier yourself"
        )
    smoothing = SmoothingSpec(
        sigma=spec.certified.sigma,
        n0=n0,
        n=n,  # type: ignore[arg-type] # left out
        alpha=alpha,
        stopping=stopping,  # type: ignore[arg-type] # left out
        noise=noise,
    )
    chosen = pick_device(str(device))
    return SmoothedClassifier(
        open_backend(checkpoint, backend=backend, device=chosen),
        num_classes=spec.num_classes,
        smoothing=smoothing,
        batch_size=default_batch_size(checkpoint, chosen),
        transforms=Transforms(spec.preprocessing),
        class_names=spec.certified.class_names,
        image_shape=(3, spec.preprocessing.crop, spec.preprocessing.crop),
    )


def preprocess(picture: str | Path | PIL.Image.Image, model: str | Path | CertifiedNetwork) -> torch.Tensor:
    """`x_CHW` in [0, 1]: a picture, or an image file's, as the network of `model` takes it and a certificate covers it.

    For many pictures load the network once, and give it or use its `transforms`.
    Raises: ImageError if the file is no picture, or has more than 8 bits a channel; what `load` raises.

    >>> import zoo
    >>> network = zoo.load("my-model")
    >>> x_CHW = zoo.preprocess("digit.png", network)
    >>> x_CHW.shape, float(x_CHW.max()) <= 1
    (torch.Size([3, 32, 32]), True)
    """
    from zoo.loading.pretrained import CertifiedNetwork

    network = model if isinstance(model, CertifiedNetwork) else load(model)
    return network.transforms(picture)


def __getattr__(name: str) -> Any:
    """CertifiedNetwork, once it is asked for: a bare `import zoo` does not import torch."""
    if name == "CertifiedNetwork":
        from zoo.loading.pretrained import CertifiedNetwork

        return CertifiedNetwork
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
