"""Loads checkpoints of certified image classifiers and smooths them.

load               returns the network of a checkpoint
smooth             returns the smoothed classifier of a checkpoint, at the checkpoint's sigma
classifier         returns a function from pictures to certificates, called like a transformers pipeline
preprocess         returns the tensor of an image file or PIL picture: the input of the network, covered by certificates
CertifiedNetwork   the type of the network that load returns
ZooError           the base class of this package's errors

MODEL, the argument of these functions, is a checkpoint directory, a Hub id `owner/name[@revision]` or a catalog id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image
    import torch

    from zoo.loading.classifier import Classifier
    from zoo.loading.pretrained import CertifiedNetwork
    from zoo.smoothing import Noise, SmoothedClassifier, StoppingRule
    from zoo.smoothing.stopping import Bound

__all__ = ["CertifiedNetwork", "ZooError", "classifier", "load", "preprocess", "smooth"]
__version__ = "0.1.0"


def load(model: str | Path, *, revision: str | None = None) -> CertifiedNetwork:
    """The network of MODEL in eval mode, a torch.nn.Module: `x_BCHW` in [0, 1] -> `logits_BK`.

    Every file is first checked against the manifest. No code from a file is executed.
    Raises: RequestError if `model` is not a MODEL; CheckpointError, HubError.

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
    precision: str | None = None,
    n0: int | None = None,
    n: int | None = None,
    alpha: float = 0.001,
    stopping: StoppingRule | None = None,
    bound: Bound | None = None,
    noise: Noise = "gaussian",
) -> SmoothedClassifier:
    """The smoothed classifier of MODEL at its training sigma; the classifier takes tensors, pictures and paths.

    Args:
        model: MODEL, or a network that `load` returned and whose weights are unchanged since.
        revision: A branch, tag or commit hash of a Hub repository.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:INDEX".
        backend: "torch", "onnx", or "auto": ONNX Runtime on CPUs and PyTorch on GPUs. Each backend is a different
            base classifier, so certificates name it. The same seed gives different noise on a GPU and on a CPU.
        precision: "float32", "tf32" (CUDA only) or "bfloat16" (PyTorch only); by default the checkpoint's own: "int8"
            for one of `zoo quantize`, else "float32". Each is a different base classifier, so certificates name it in
            their `backend`.
        n0: Draws that select the class, as in Cohen et al.; 100 by default, or 16 to 100 for an at-radius rule.
        n: Further draws for the bound, as in Cohen et al.; 100,000 unless `n` or `stopping` is given.
        alpha: Upper bound of the probability that a certificate is wrong, as in Cohen et al.
        stopping: The stopping rule, such as `zoo.smoothing.AtRadius(0.5)`; by default drawing stops after `n` draws.
        bound: "clopper-pearson" (the default) or "simultaneous", which also bounds the runner-up and so certifies
            classes below one half. Only for the default rule: `zoo.smoothing.FixedSample` takes it as an argument.
        noise: "gaussian", or "discrete" for a certificate that is exact for 8-bit images.

    Raises: RequestError if `model` is not a MODEL, has an untrained head or was changed, or if the device, backend
    or precision does not exist; CheckpointError, HubError; CertificationError if the checkpoint has no sigma, or no
    certificate is possible with these arguments.

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
    from zoo.checkpoints.checkpoint import read_calibration, require_trained_head
    from zoo.errors import CertificationError
    from zoo.loading.backend import default_batch_size, open_backend
    from zoo.loading.device import device_for
    from zoo.loading.pretrained import checkpoint_of
    from zoo.models.transforms import Transforms
    from zoo.smoothing import FixedSample, SmoothedClassifier, SmoothingSpec
    from zoo.smoothing.stopping import DEFAULT_MAX_N

    checkpoint = checkpoint_of(model, revision=revision)
    require_trained_head(checkpoint)
    spec = checkpoint.spec
    if spec.certified.sigma is None:
        raise CertificationError(
            f"{checkpoint.path} has no sigma: it was not trained under noise; construct a SmoothedClassifier instead"
        )
    if bound is not None:
        if stopping is not None:
            raise CertificationError("give either stopping or bound: FixedSample(n, bound=...) has both")
        stopping = FixedSample(DEFAULT_MAX_N if n is None else n, bound=bound)
    smoothing = SmoothingSpec(
        sigma=spec.certified.sigma,
        n0=n0,  # type: ignore[arg-type] # None: by default the rule's
        n=n,  # type: ignore[arg-type] # None: by default the rule's
        alpha=alpha,
        stopping=stopping,  # type: ignore[arg-type] # None: by default FixedSample(n)
        noise=noise,
    )
    calibration = read_calibration(checkpoint)
    chosen = device_for(checkpoint, str(device))
    return SmoothedClassifier(
        open_backend(checkpoint, backend=backend, precision=precision, device=chosen),
        num_classes=spec.num_classes,
        smoothing=smoothing,
        batch_size=default_batch_size(checkpoint, chosen),
        transforms=Transforms(spec.preprocessing),
        class_names=spec.certified.class_names,
        image_shape=(3, spec.preprocessing.crop, spec.preprocessing.crop),
        label_sets=None if calibration is None else calibration.label_sets(),
    )


def classifier(
    model: str | Path | CertifiedNetwork,
    *,
    revision: str | None = None,
    device: torch.device | str = "auto",
    backend: str = "auto",
    n: int | None = None,
    alpha: float = 0.001,
    stopping: StoppingRule | None = None,
) -> Classifier:
    """A function from pictures to certificates of MODEL's smoothed classifier, called like a transformers pipeline.

    A picture is a path, a PIL picture or a tensor; a list of pictures gives a list of answers. An answer has
    `class_name` (None if the classifier abstained), `radius` and `abstained`.

    Args:
        model: MODEL, or a network that `load` returned and whose weights are unchanged since.
        revision, device, backend, alpha, stopping: As of `smooth`.
        n: Draws for the bound; 1,000 unless `n` or `stopping` is given, as on a server. More draws certify more.

    Raises: the errors of `smooth`.

    >>> import zoo
    >>> classify = zoo.classifier("my-model")  # also "owner/name@revision"
    >>> answer = classify("digit.png")
    >>> answer.class_name, answer.radius > 0.5, answer.abstained
    ('4', True, False)
    >>> [answer.class_name for answer in classify(["digit.png", "digit.png"])]
    ['4', '4']
    """
    from zoo.loading.classifier import DEFAULT_N, Classifier

    n = DEFAULT_N if n is None and stopping is None else n
    return Classifier(
        smooth(model, revision=revision, device=device, backend=backend, n=n, alpha=alpha, stopping=stopping)
    )


def preprocess(picture: str | Path | PIL.Image.Image, model: str | Path | CertifiedNetwork) -> torch.Tensor:
    """The tensor `x_CHW` in [0, 1] of a picture or image file: the input of the network of `model`.

    A certificate covers this tensor. To process many pictures, load the network once and pass it as `model`, or use its
    `transforms`.
    Raises: ImageError if the file is not an image, or has more than 8 bits per channel; the errors of `load`.

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
    """Imports CertifiedNetwork on first access, so that `import zoo` alone does not import torch."""
    if name == "CertifiedNetwork":
        from zoo.loading.pretrained import CertifiedNetwork

        return CertifiedNetwork
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
