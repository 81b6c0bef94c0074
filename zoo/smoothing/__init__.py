"""What a smoothed classifier answers, and what it guarantees.

SmoothedClassifier     the paper-like face: predict(x), certify(x)
  CertificationEngine  continuous batching over jobs; the same for one image, a test set and a server
    jobs               what is still to be drawn for one image, and what its votes prove
      StoppingRule     when enough has been drawn: FixedSample, AtRadius, Anytime
    NoisySampler       batches of noisy copies, votes
      noise            counter-based, Gaussian or discrete
      BaseClassifier   the network behind a backend
"""

from zoo.smoothing.backends import BaseClassifier, TorchBackend
from zoo.smoothing.certificate import Certificate, SmoothingSpec
from zoo.smoothing.classifier import SmoothedClassifier
from zoo.smoothing.engine import CertificationEngine
from zoo.smoothing.jobs import Certification, Prediction
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
    "FixedSample",
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
