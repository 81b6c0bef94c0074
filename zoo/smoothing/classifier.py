"""The smoothed classifier g, as the papers write it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import CertificationError
from zoo.smoothing.backends import BaseClassifier, TorchBackend
from zoo.smoothing.certificate import Certificate, SmoothingSpec
from zoo.smoothing.engine import CertificationEngine
from zoo.smoothing.jobs import Certification, Job, Prediction
from zoo.smoothing.noise import NoiseKey
from zoo.smoothing.prediction import Votes
from zoo.smoothing.sampler import NoisySampler, SamplingOptions


class SmoothedClassifier:
    """g(x): the class that the base classifier names most often on `x + N(0, sigma^2 I)`."""

    def __init__(
        self,
        base: Callable[[Tensor], Tensor] | BaseClassifier,
        *,
        num_classes: int,
        smoothing: SmoothingSpec,
        options: SamplingOptions | None = None,
    ) -> None:
        """`base` maps `x_BCHW` to `logits_BK`, and a module runs where its parameters are; or it is a backend.

        Raises: CertificationError if a backend has another number of classes.
        """
        self.smoothing = smoothing
        self.base = base if isinstance(base, BaseClassifier) else TorchBackend(base, num_classes=num_classes)
        if self.base.num_classes != num_classes:
            raise CertificationError(f"the backend has {self.base.num_classes} classes, not {num_classes}")
        self._sampler = NoisySampler(self.base, options or SamplingOptions())

    def certify(self, x_CHW: Tensor, *, generator: torch.Generator) -> Certificate:
        """Class and certified radius of one image in [0, 1], or abstention.

        Raises: CertificationError if pixels or logits are not finite or of a wrong shape.
        """
        result = self._run(Certification(0, x_CHW, smoothing=self.smoothing, key=root_key(generator)))
        assert isinstance(result, Certificate)
        return result

    def predict(self, x_CHW: Tensor, *, n: int = 100, generator: torch.Generator) -> int | None:
        """Class of one image in [0, 1], or None to abstain; wrong with probability at most the spec's alpha.

        Raises: CertificationError, also if `n` can never decide.
        """
        spec = self.smoothing
        key = root_key(generator)
        job = Prediction(0, x_CHW, sigma=spec.sigma, n=n, alpha=spec.alpha, key=key, noise=spec.noise)
        result = self._run(job)
        assert isinstance(result, Votes)
        return result.label

    def _run(self, job: Job) -> Certificate | Votes:
        engine = CertificationEngine(self._sampler)
        engine.admit(job)
        finished = engine.step()
        while not finished:
            finished = engine.step()
        return finished[0].result


def root_key(generator: torch.Generator) -> NoiseKey:
    """A key whose 64-bit root is drawn from the generator; two calls give two roots."""
    words = torch.randint(0, 2**32, (2,), generator=generator, device=generator.device).tolist()
    return NoiseKey(root=words[0] << 32 | words[1], job=0)
