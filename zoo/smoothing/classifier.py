"""The smoothed classifier g of randomized smoothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard, cast, overload

import torch
from PIL import Image
from torch import Tensor

from zoo.errors import CertificationError, ImageError
from zoo.smoothing.backends import BaseClassifier, TorchBackend
from zoo.smoothing.certificate import Certificate, SmoothingSpec
from zoo.smoothing.class_names import Answer, named
from zoo.smoothing.engine import CertificationEngine
from zoo.smoothing.family import Family, FamilyMember, place_in_errors
from zoo.smoothing.jobs import Certification, Job, LabelSetJob, Prediction, checked_pixels
from zoo.smoothing.keys import fresh_key, root_key
from zoo.smoothing.label_set import LabelSet, LabelSetSpec
from zoo.smoothing.noise import NoiseKey
from zoo.smoothing.prediction import Votes
from zoo.smoothing.sampler import NoisySampler, SamplingOptions

Picture = str | Path | Image.Image
"""A PIL picture, or the path of an image file."""

DEFAULT_BATCH_SIZE = SamplingOptions().batch_size


class SmoothedClassifier:
    """g(x): the most probable class of the base classifier on `x + N(0, sigma^2 I)`.

    `certify` and `predict` return one answer for one image, and a list of answers for a batch `x_BCHW` or a list of
    images. An image is a tensor `x_CHW` in [0, 1]. If `transforms` was given, it may also be a PIL picture or the path
    of a file. The noisy copies of all images of a call share batches.

    Without a generator the noise comes from the operating system. A certificate does not hold against an adversary who
    can predict its noise. Use a seeded generator only to repeat an experiment.

    >>> import torch
    >>> from zoo.smoothing import SmoothedClassifier, SmoothingSpec
    >>> def is_bright(x_BCHW):
    ...     brightness_B = x_BCHW.mean(dim=(1, 2, 3))
    ...     return torch.stack([0.5 - brightness_B, brightness_B - 0.5], dim=1)
    >>> smoothing = SmoothingSpec(sigma=0.5, n=1000)
    >>> g = SmoothedClassifier(is_bright, num_classes=2, smoothing=smoothing, class_names=["dark", "bright"])
    >>> white_CHW, gray_CHW = torch.ones(3, 8, 8), torch.full((3, 8, 8), 0.5)
    >>> certificate = g.certify(white_CHW)
    >>> certificate.label, certificate.class_name, round(certificate.radius, 3)
    (1, 'bright', 1.232)
    >>> [answer.class_name for answer in g.predict([white_CHW, 1 - white_CHW])]
    ['bright', 'dark']
    >>> g.certify(gray_CHW, generator=torch.Generator().manual_seed(0)).abstained
    True
    """

    def __init__(
        self,
        base: Callable[[Tensor], Tensor] | BaseClassifier,
        *,
        num_classes: int,
        smoothing: SmoothingSpec,
        batch_size: int = DEFAULT_BATCH_SIZE,
        device: torch.device | str | None = None,
        transforms: Callable[[Picture], Tensor] | None = None,
        class_names: Sequence[str] = (),
        image_shape: tuple[int, int, int] | None = None,
        label_sets: LabelSetSpec | None = None,
    ) -> None:
        """Wraps a callable in a backend; takes a backend as it is.

        Args:
            base: A callable `x_BCHW` -> `logits_BK`, such as a module, or a backend.
            num_classes: K.
            smoothing: sigma, the draws and alpha.
            batch_size: Noisy copies per forward pass.
            device: Device of a callable; by default that of a module's parameters. A backend has its own.
            transforms: Turns a picture into `x_CHW` in [0, 1] without normalization, such as `network.transforms`.
            class_names: One name per class, to appear in the answers.
            image_shape: The accepted image shape `(C, H, W)`; any shape by default.
            label_sets: The calibration of `label_set`, if there is one.

        Raises: CertificationError if a backend is given a device or has another number of classes, or if the number
        of names is not `num_classes`.
        """
        if isinstance(base, BaseClassifier):
            if device is not None:
                raise CertificationError(f"the backend {base.name} has its own device: leave device out, got {device}")
            self.base: BaseClassifier = base
        else:
            self.base = TorchBackend(base, num_classes=num_classes, device=device)
        if self.base.num_classes != num_classes:
            raise CertificationError(f"the backend must have {num_classes} classes, got {self.base.num_classes}")
        if class_names and len(class_names) != num_classes:
            raise CertificationError(
                f"class_names must contain {num_classes} names, one per class, got {len(class_names)}"
            )
        self.smoothing = smoothing
        self.transforms = transforms
        self.class_names = tuple(class_names)
        self.image_shape = image_shape
        self.label_sets = label_sets
        self._sampler = NoisySampler(self.base, SamplingOptions(batch_size=batch_size))

    @overload
    def certify(  # type: ignore[overload-overlap] # a str is one path
        self, images: Picture, *, generator: torch.Generator | None = None, family: Family | None = None
    ) -> Certificate: ...
    @overload
    def certify(
        self,
        images: Sequence[Picture | Tensor],
        *,
        generator: torch.Generator | None = None,
        family: Family | None = None,
    ) -> list[Certificate]: ...
    # A type checker cannot distinguish an image from a batch. With Any, neither use needs a cast.
    @overload
    def certify(
        self, images: Tensor, *, generator: torch.Generator | None = None, family: Family | None = None
    ) -> Any: ...

    def certify(
        self,
        images: Picture | Tensor | Sequence[Picture | Tensor],
        *,
        generator: torch.Generator | None = None,
        family: Family | None = None,
    ) -> Certificate | list[Certificate]:
        """The certificate of an image, or a list of certificates for a batch or a list of images.

        Args:
            images: One image, a batch `x_BCHW`, or a list of images.
            generator: Source of the noise roots, one per image in order. Separate calls with the same generator
                therefore give the same certificates as one call with a list. By default the roots come from the
                operating system.
            family: The family that the certificates belong to, which replaces the spec's alpha: all its certificates
                are right at once with probability at least 1 - `family.alpha`. Each image takes the next place, also
                if it was certified before. By default every certificate has the spec's alpha.

        Raises: CertificationError if an image or the logits are not finite or have a wrong shape, if the family has no
        place left, or if the draws can never certify at the alpha of a place; ImageError if a file is not an image.
        """

        def new_job(id: int, x_CHW: Tensor, key: NoiseKey, member: FamilyMember | None) -> Job:
            smoothing = self.smoothing if member is None else replace(self.smoothing, alpha=member.level)
            return Certification(id, x_CHW, smoothing=smoothing, key=key)

        return self._answer(images, new_job, generator, family, Certificate)

    @overload
    def predict(  # type: ignore[overload-overlap] # a str is one path
        self, images: Picture, *, n: int = 100, generator: torch.Generator | None = None, family: Family | None = None
    ) -> Votes: ...
    @overload
    def predict(
        self,
        images: Sequence[Picture | Tensor],
        *,
        n: int = 100,
        generator: torch.Generator | None = None,
        family: Family | None = None,
    ) -> list[Votes]: ...
    @overload
    def predict(
        self, images: Tensor, *, n: int = 100, generator: torch.Generator | None = None, family: Family | None = None
    ) -> Any: ...

    def predict(
        self,
        images: Picture | Tensor | Sequence[Picture | Tensor],
        *,
        n: int = 100,
        generator: torch.Generator | None = None,
        family: Family | None = None,
    ) -> Votes | list[Votes]:
        """The predicted class of an image from `n` draws, or a list of predictions for a batch or a list of images.

        A label is wrong with probability at most the spec's alpha.

        Args:
            images: As in `certify`.
            n: Draws per image.
            generator: As in `certify`.
            family: As in `certify`. Predictions and certificates may share a family.

        Raises: as `certify`; CertificationError also if `n` draws can never decide.
        """
        spec = self.smoothing

        def new_job(id: int, x_CHW: Tensor, key: NoiseKey, member: FamilyMember | None) -> Job:
            alpha = spec.alpha if member is None else member.level
            return Prediction(id, x_CHW, sigma=spec.sigma, n=n, alpha=alpha, key=key, noise=spec.noise)

        return self._answer(images, new_job, generator, family, Votes)

    @overload
    def label_set(self, images: Picture) -> LabelSet: ...  # type: ignore[overload-overlap] # a str is one path
    @overload
    def label_set(self, images: Sequence[Picture | Tensor]) -> list[LabelSet]: ...
    @overload
    def label_set(self, images: Tensor) -> Any: ...

    def label_set(self, images: Picture | Tensor | Sequence[Picture | Tensor]) -> LabelSet | list[LabelSet]:
        """The robust label set of an image from one draw, or a list of sets for a batch or a list of images.

        The guarantee is marginal, as `LabelSet` says, and not a certificate of the image. The noise always comes from
        the operating system, because noise that someone can foresee voids the guarantee.

        Raises: CertificationError if there is no calibration, or it was made with other noise or another backend; the
        errors of `certify`.
        """
        spec = self.label_sets
        if spec is None:
            raise CertificationError(
                "this SmoothedClassifier has no calibration for label sets: make one in the checkpoint with "
                "zoo calibrate MODEL --task TASK --radius RADIUS, or give label_sets"
            )
        spec.require_conditions(sigma=self.smoothing.sigma, noise=self.smoothing.noise, backend=self.base.name)

        def new_job(id: int, x_CHW: Tensor, key: NoiseKey, member: FamilyMember | None) -> Job:
            return LabelSetJob(id, x_CHW, spec=spec, key=key)

        return self._answer(images, new_job, None, None, LabelSet)

    def _answer(
        self,
        images: Picture | Tensor | Sequence[Picture | Tensor],
        new_job: Callable[[int, Tensor, NoiseKey, FamilyMember | None], Job],
        generator: torch.Generator | None,
        family: Family | None,
        kind: type[Answer],
    ) -> Answer | list[Answer]:
        """The answers, of type `kind`, to the jobs of the images: a list, or one answer for a single image."""
        x_CHWs = self._pixels_of_all(images) if _is_batch(images) else [self._pixels(images)]
        members = _places(family, len(x_CHWs))
        jobs = []
        for position, (x_CHW, member) in enumerate(zip(x_CHWs, members, strict=True)):
            with place_in_errors(member):
                jobs.append(new_job(position, x_CHW, _key(generator), member))
        pairs = zip(self._run(jobs, kind), members, strict=True)
        answers = [_placed(answer, member) for answer, member in pairs]
        return answers if _is_batch(images) else answers[0]

    def _pixels_of_all(self, images: Sequence[object] | Tensor) -> list[Tensor]:
        """`x_CHW` of each image; all have the same shape."""
        x_CHWs: list[Tensor] = []
        for position, image in enumerate(images):
            with _position_in_errors(position):
                x_CHWs.append(self._pixels(image))
                _require_same_shape(x_CHWs[-1], x_CHWs[0])
        return x_CHWs

    def _pixels(self, image: object) -> Tensor:
        """`x_CHW` of one image."""
        if isinstance(image, str | Path | Image.Image):
            if self.transforms is None:
                raise CertificationError(
                    "this SmoothedClassifier has no transforms to turn a picture into a tensor: "
                    "construct it with transforms=network.transforms, or give tensors in [0, 1]"
                )
            image = self.transforms(image)
        if not isinstance(image, Tensor):
            type_name = type(image).__name__
            raise CertificationError(
                f"an image must be a tensor, a PIL picture or the path of an image file, got {type_name}"
            )
        pixels = torch.from_numpy(checked_pixels(image, noise=self.smoothing.noise))
        if self.image_shape is not None and tuple(pixels.shape) != self.image_shape:
            raise CertificationError(f"the image must have shape {self.image_shape}, got {tuple(pixels.shape)}")
        return pixels

    def _run(self, jobs: Sequence[Job], kind: type[Answer]) -> list[Answer]:
        """The answers to the jobs, in order. The id of a job is its position."""
        engine = CertificationEngine(self._sampler)
        for job in jobs:
            engine.admit(job)
        answers: dict[object, Answer] = {}
        while engine.num_open:
            for finished in engine.step():
                assert isinstance(finished.result, kind)
                answers[finished.id] = named(finished.result, self.class_names)
        return [answers[job.id] for job in jobs]


def _is_batch(images: object) -> TypeGuard[Sequence[Any] | Tensor]:
    """Whether `images` is a batch or a list of images, for which the result is a list."""
    if isinstance(images, Tensor):
        if images.ndim not in (3, 4):
            raise CertificationError(
                "an image must have shape (channels, height, width), and a batch (images, channels, height, width), "
                f"got {tuple(images.shape)}"
            )
        return images.ndim == 4
    return isinstance(images, list | tuple)


def _key(generator: torch.Generator | None) -> NoiseKey:
    return fresh_key() if generator is None else root_key(generator)


def _placed(answer: Answer, member: FamilyMember | None) -> Answer:
    """The answer with its place in its family. A label set has none, because it claims nothing about its image."""
    return answer if isinstance(answer, LabelSet) else cast("Answer", replace(answer, family=member))


def _places(family: Family | None, num: int) -> list[FamilyMember | None]:
    """The next `num` places of the family; None for each image without a family."""
    if family is None:
        return [None] * num
    if not isinstance(family, Family):
        raise CertificationError(f"family must be a Family, such as Family(alpha=0.001), got {family!r}")
    return [family.next() for _ in range(num)]


def _require_same_shape(x_CHW: Tensor, first_CHW: Tensor) -> None:
    if x_CHW.shape != first_CHW.shape:
        raise CertificationError(
            f"all images of a call must have the same shape, got {tuple(x_CHW.shape)} after {tuple(first_CHW.shape)}"
        )


@contextmanager
def _position_in_errors(position: int) -> Iterator[None]:
    """Adds the image's position to the messages of its errors."""
    try:
        yield
    except CertificationError as error:
        raise CertificationError(f"image {position}: {error}") from error
    except ImageError as error:
        raise ImageError(f"image {position}: {error}", http_status=error.http_status) from error
