"""Admission of requests: creates one engine job per image, or refuses the request with a message for the client.

A request is checked before its images are decoded, and gets its jobs after that.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from serving.protocol import LabelSetRequest, Limits, Request, Target, deciding, target_of
from serving.service.answer_cache import AnswerCache, Entry
from serving.service.family_store import Families
from zoo.errors import RequestError
from zoo.models.spec import ModelSpec
from zoo.smoothing import (
    Certification,
    FamilyMember,
    LabelSetJob,
    LabelSetSpec,
    NoiseKey,
    Prediction,
    SmoothingSpec,
)
from zoo.smoothing.family import place_in_errors
from zoo.smoothing.jobs import Job
from zoo.smoothing.keys import fresh_key, root_key

# TorchServe kills a worker whose response is larger than 6.5 MB.
MOST_BYTES_OF_COPIES = 4_000_000
MOST_BYTES_OF_INPUT = 2_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """The engine job of one image, and the job's cache entry."""

    job: Job
    entry: Entry


class Admission:
    """Creates one job per image, within the operator's limits."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        sigma: float,
        model_sha256: str,
        limits: Limits,
        noise_secret: bytes,
        families: Families,
        backend: str,
        label_sets: LabelSetSpec | None = None,
    ) -> None:
        """Creates an admission.

        Args:
            spec: the model.
            sigma: the noise level on the [0, 1] pixel scale.
            model_sha256: the SHA-256 of the weights.
            limits: the operator's limits and defaults.
            noise_secret: the deployment's secret, from which repeatable answers derive their noise.
            families: counts the questions about each image, if `limits.families`.
            backend: the name of the backend; the same question to another backend is another question.
            label_sets: the calibration of the model's label sets; None if there is none.
        """
        self.spec = spec
        self.sigma = sigma
        self.limits = limits
        self.families = families
        self.backend = backend
        self.label_sets = label_sets
        self.cache = AnswerCache(limits.cached_answers, secret=noise_secret, model_sha256=model_sha256)

    def target(self, request: Request) -> Target:
        """What a request asks about each of its images.

        Raises: RequestError, CertificationError with a message for the client.
        """
        target = target_of(request.parameters, self.limits, sigma=self.sigma)
        if isinstance(target, LabelSetRequest):
            self._calibrated(target)
        self._require_affordable(request, target)
        return target

    def questions(self, id: Hashable, request: Request, target: Target, images: Sequence[Tensor]) -> list[Question]:
        """The questions of a request about the tensors `x_CHW` of its images; the id of each job is `(id, place)`.

        A question whose noise the server chooses gets its index among the questions about its image, and with it its
        own alpha, before any of its noise is drawn. The index stays spent if the question fails.
        Raises: CertificationError if the draws can never certify at that alpha; OverloadError, ServerError.
        """
        seed = request.parameters.seed
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        questions = []
        for place, x_CHW in enumerate(images):
            # This matches the offline path, which draws one root per image from a single generator.
            seeded = None if generator is None else Entry(root_key(generator), repeats=True)
            entry = seeded or self._entry(x_CHW, request, target)
            with place_in_errors(entry.family):
                own = target if entry.family is None else replace(target, alpha=entry.family.level)
                questions.append(Question(self._job((id, place), x_CHW, own, entry.key), entry))
        return questions

    def _job(self, id: Hashable, x_CHW: Tensor, target: Target, key: NoiseKey) -> Job:
        if isinstance(target, SmoothingSpec):
            return Certification(id, x_CHW, smoothing=target, key=key, input=self.spec.preprocessing.describe())
        if isinstance(target, LabelSetRequest):
            calibrated = self._calibrated(target)
            return LabelSetJob(id, x_CHW, spec=calibrated, key=key, input=self.spec.preprocessing.describe())
        n, alpha, noise = target.n, target.alpha, target.noise
        return Prediction(id, x_CHW, sigma=self.sigma, n=n, alpha=alpha, key=key, noise=noise)

    def _entry(self, x_CHW: Tensor, request: Request, target: Target) -> Entry:
        # A client that could get the noise of a label set again could change the image for it.
        is_always_fresh = self.limits.cached_answers == 0 and not self.limits.families
        if is_always_fresh or isinstance(target, LabelSetRequest):
            return Entry(fresh_key(), repeats=False)
        entry = self.cache.entry(x_CHW, deciding(request.parameters, self.limits))
        if self.limits.families and entry.family is None:
            # The resolved target, because other defaults of another start make another question of omitted parameters.
            question = entry.question + f"{self.backend} {self.sigma} {target!r}".encode()
            index = self.families.index(image=entry.image, question=question)
            entry.family = FamilyMember(alpha=target.alpha, index=index)
        return entry

    def _calibrated(self, target: LabelSetRequest) -> LabelSetSpec:
        """The calibration that a request can use.

        Raises: RequestError if there is none, or it has another radius or alpha; CertificationError if it was made with
        other noise or another backend.
        """
        label_sets, name = self.label_sets, self.spec.name
        if label_sets is None:
            raise RequestError(
                f"{name} has no calibration for mode=set: make one with zoo calibrate MODEL --task "
                f"{self.spec.certified.task} --radius RADIUS, and serve the checkpoint again"
            )
        radius = label_sets.radius if target.radius is None else target.radius
        alpha = label_sets.alpha if target.alpha is None else target.alpha
        if (radius, alpha) != (label_sets.radius, label_sets.alpha):
            raise RequestError(
                f"the label sets of {name} are calibrated for radius={label_sets.radius:g} and "
                f"alpha={label_sets.alpha:g} only, got radius={radius:g} and alpha={alpha:g}: leave both out, or "
                f"calibrate again with zoo calibrate MODEL --task {label_sets.task} --radius {radius:g} --alpha "
                f"{alpha:g}"
            )
        noise = label_sets.noise if target.noise is None else target.noise
        label_sets.require_conditions(sigma=self.sigma, noise=noise, backend=self.backend)
        return label_sets

    def _require_affordable(self, request: Request, target: Target) -> None:
        parameters, limits = request.parameters, self.limits
        num_draws = target.n + (target.n0 if isinstance(target, SmoothingSpec) else 0)
        if num_draws * len(request.images) > limits.max_draws_per_request:
            raise RequestError(
                f"the request could take {num_draws * len(request.images):,} draws ({num_draws:,} per image), this "
                f"server accepts at most {limits.max_draws_per_request:,}: reduce n, or send fewer images"
            )
        bytes_per_image = 4 * self.spec.preprocessing.crop**2  # base64 of 3 bytes per pixel
        most_copies = MOST_BYTES_OF_COPIES // bytes_per_image
        if parameters.copies > most_copies:
            raise RequestError(f"copies={parameters.copies} is too many: at most {most_copies} for images of this size")
        if parameters.input_image and bytes_per_image > MOST_BYTES_OF_INPUT:
            raise RequestError("input_image is not available for images of this size: the response would be too large")
