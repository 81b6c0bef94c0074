"""Randomized smoothing: the smoothed classifier, its certificates, and the engine that computes them.

SmoothedClassifier     the interface of the papers: predict(x), certify(x)
  CertificationEngine  continuous batching of jobs, for one image, a test set or a server
    jobs               the remaining draws of one image, and what its votes or logits prove
      StoppingRule     when to stop drawing: FixedSample, AtRadius, Anytime
    NoisySampler       batches of noisy copies, and their votes
      noise            counter-based noise, Gaussian or discrete
      BaseClassifier   the network behind a backend
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.smoothing.backends import BaseClassifier, TorchBackend
    from zoo.smoothing.certificate import Certificate, SmoothingSpec
    from zoo.smoothing.classifier import SmoothedClassifier
    from zoo.smoothing.engine import CertificationEngine
    from zoo.smoothing.family import Family, FamilyMember
    from zoo.smoothing.jobs import Certification, LabelSetJob, Prediction
    from zoo.smoothing.label_set import LabelSet, LabelSetSpec
    from zoo.smoothing.noise import Noise, NoiseKey
    from zoo.smoothing.prediction import Votes
    from zoo.smoothing.sampler import NoisySampler, SamplingOptions
    from zoo.smoothing.stopping import Anytime, AtRadius, FixedSample, StoppingRule

__all__ = [
    "Anytime",
    "AtRadius",
    "BaseClassifier",
    "Certificate",
    "Certification",
    "CertificationEngine",
    "Family",
    "FamilyMember",
    "FixedSample",
    "LabelSet",
    "LabelSetJob",
    "LabelSetSpec",
    "Noise",
    "NoiseKey",
    "NoisySampler",
    "Prediction",
    "SamplingOptions",
    "SmoothedClassifier",
    "SmoothingSpec",
    "StoppingRule",
    "TorchBackend",
    "Votes",
]

_MODULES = {
    "Anytime": "zoo.smoothing.stopping",
    "AtRadius": "zoo.smoothing.stopping",
    "BaseClassifier": "zoo.smoothing.backends",
    "Certificate": "zoo.smoothing.certificate",
    "Certification": "zoo.smoothing.jobs",
    "CertificationEngine": "zoo.smoothing.engine",
    "Family": "zoo.smoothing.family",
    "FamilyMember": "zoo.smoothing.family",
    "FixedSample": "zoo.smoothing.stopping",
    "LabelSet": "zoo.smoothing.label_set",
    "LabelSetJob": "zoo.smoothing.jobs",
    "LabelSetSpec": "zoo.smoothing.label_set",
    "Noise": "zoo.smoothing.noise",
    "NoiseKey": "zoo.smoothing.noise",
    "NoisySampler": "zoo.smoothing.sampler",
    "Prediction": "zoo.smoothing.jobs",
    "SamplingOptions": "zoo.smoothing.sampler",
    "SmoothedClassifier": "zoo.smoothing.classifier",
    "SmoothingSpec": "zoo.smoothing.certificate",
    "StoppingRule": "zoo.smoothing.stopping",
    "TorchBackend": "zoo.smoothing.backends",
    "Votes": "zoo.smoothing.prediction",
}


def __getattr__(name: str) -> Any:
    """Imports a name's module on first access: those of the sampler import torch, those of rules and bounds do not."""
    if name not in _MODULES:
        raise AttributeError(f"module 'zoo.smoothing' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
