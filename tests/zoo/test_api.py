"""The public names, which users rely on."""

import subprocess
import sys

import zoo
import zoo.smoothing


def test_the_public_names_are_these():
    assert zoo.__all__ == ["ZooError", "load", "smooth"]
    assert zoo.smoothing.__all__ == [
        "Anytime", "AtRadius", "BaseClassifier", "Certificate", "Certification", "CertificationEngine", "FixedSample",
        "Noise", "NoiseKey", "NoisySampler", "Prediction", "SamplingOptions", "SmoothedClassifier", "SmoothingSpec",
        "StoppingRule", "TorchBackend", "Votes",
    ]  # fmt: skip


def test_importing_zoo_imports_no_torch():
    code = "import sys, zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
