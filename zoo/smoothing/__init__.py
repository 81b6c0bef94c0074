"""What a smoothed classifier answers, and what it guarantees.

SmoothedClassifier     the paper-like face: predict(x), certify(x)
  CertificationEngine  continuous batching over jobs; the same for one image, a test set and a server
    jobs               what is still to be drawn for one image, and what its counts prove
    NoisySampler       counter-based noise, batches, votes
      BaseClassifier   the network behind a backend
"""

from zoo.smoothing.backends import BaseClassifier, TorchBackend
from zoo.smoothing.certificate import Certificate, SmoothingSpec
from zoo.smoothing.classifier import SmoothedClassifier
from zoo.smoothing.engine import CertificationEngine
from zoo.smoothing.jobs import Certification, Prediction
from zoo.smoothing.prediction import Votes
from zoo.smoothing.sampler import NoiseKey, NoisySampler, SamplingOptions

__all__ = [
    "BaseClassifier",
    "Certificate",
    "Certification",
    "CertificationEngine",
    "NoiseKey",
    "NoisySampler",
    "Prediction",
    "SamplingOptions",
    "SmoothedClassifier",
    "SmoothingSpec",
    "TorchBackend",
    "Votes",
]
