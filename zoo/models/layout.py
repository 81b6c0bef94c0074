"""The names of the files in a checkpoint directory."""

from __future__ import annotations

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DENOISER = "denoiser.safetensors"
ONNX = "model.onnx"
CARD = "README.md"
ROWS = "certification.tsv"
CURVE = "certified_accuracy.png"
SPLIT = "split.json"
CALIBRATION = "calibration.json"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"

KNOWN_FILES = frozenset({CONFIG, WEIGHTS, DENOISER, ONNX, CARD, ROWS, CURVE, SPLIT, CALIBRATION})
"""The files that a manifest may list."""
