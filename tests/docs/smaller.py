"""What makes a command of a page cheap enough for a test; it changes how much is computed, not what."""

from __future__ import annotations

import re
from collections.abc import Sequence

TRAINING = ("--set", "epochs=1", "--set", "batch_size=8", "--set", "image_size=16", "--limit-per-class", "4")
ADDED: dict[str, Sequence[str]] = {
    "train": TRAINING,
    "search": TRAINING,
    "certify": ("--n", "100", "--n0", "10", "--skip", "60", "--backend", "torch"),
    "evaluate": ("--skip", "60", "--attack-steps", "2"),
    "audit": ("--images", "4", "--backend", "torch"),
    "predict": ("--n", "40"),
    "serve": ("--engine", "asgi", "--port", "0", "--ui-port", "0", "--device", "cpu", "--backend", "torch"),
}
"""Options that are put behind those of a page, which they replace."""
NETWORK = ("--architecture", "resnet10-quarter")
"""For a training that starts from random weights and names no network."""
FIELD = re.compile(r"^n=\d+$")
"""The number of draws in a form that curl sends."""


def smaller(words: Sequence[str]) -> list[str]:
    """The words of a command, with less work. Only `zoo` and `curl` do work that counts."""
    words = list(words)
    if words[0] == "curl":
        return [FIELD.sub("n=100", word) for word in words]
    if words[0] != "zoo":
        return words
    added = [*ADDED.get(words[1], ())]
    if words[1] in ("train", "search") and not {"--init", "--architecture"} & set(words):
        added += NETWORK
    if "unlabelled:pictures" in words:
        added = [word for word in added if word not in ("--limit-per-class", "4")]
    if words[1] == "train" and "denoise" in words:  # the classifier behind the denoiser keeps its input
        added = ["--set", "epochs=1", "--set", "batch_size=8"]
    if words[1] == "predict" and "--model" in words:
        added += ("--backend", "torch")
    if words[1] == "evaluate" and "--attack" not in words:
        added = added[:2]
    if "--images" in words and "--skip" in added:
        added[added.index("--skip") : added.index("--skip") + 2] = ["--images", "6"]
    if any(word.startswith("imagefolder:") for word in words) and "--skip" in added:
        added[added.index("--skip") + 1] = "2"
    return [*words, *added]
