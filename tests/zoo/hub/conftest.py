"""Two small checkpoints, alice's login at a Hub on this machine, and a clock that nobody waits for."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import pytest
import torch

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.download.retry import Retrier
from zoo.models.architecture import build_network
from zoo.models.measurements import CertificationResult, CertifiedAccuracy
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing

REPOSITORY = "alice/digits"
CERTIFIED = CertificationResult(
    task="digits", split="test", skip=1, num_images=500, sigma=0.5, noise="gaussian", n0=100, n=1000, alpha=0.001,
    stopping="fixed", backend="torch", seed=0, standard_accuracy=0.9, standard_accuracy_interval=(0.87, 0.93),
    average_certified_radius=0.711, average_certified_radius_interval=(0.69, 0.73), abstention_rate=0.02,
    certified_accuracy=(CertifiedAccuracy(radius=0.5, accuracy=0.742, low=0.70, high=0.78),),
)  # fmt: skip


def save(path, *, seed=0, **certified) -> Checkpoint:
    """An untrained network of three classes, saved with the facts that are given."""
    preprocessing = Preprocessing(resize=32, crop=32)
    facts = {"objective": "consistency", "task": "digits", "sigma": 0.5, "class_names": ("a", "b", "c")}
    config = CertifiedConfig(preprocessing=preprocessing, **{**facts, **certified})
    torch.manual_seed(seed)
    network = build_network("resnet10-quarter", num_classes=3, preprocessing=preprocessing)
    return save_checkpoint(path, network, ModelSpec(architecture="resnet10-quarter", num_classes=3, certified=config))


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Checkpoint:
    return save(tmp_path_factory.mktemp("small") / "checkpoint")


@pytest.fixture(scope="session")
def newer(tmp_path_factory) -> Checkpoint:
    """Other weights, and what was certified of them."""
    return save(tmp_path_factory.mktemp("newer") / "checkpoint", seed=1, certification=CERTIFIED)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub's files."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def logged_in(hub, cache, monkeypatch):
    """Alice's login at the loopback Hub."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")


@dataclass
class Clock:
    """The waits and the reports of a retrier that does not really wait."""

    waits: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def retrier(self) -> Retrier:
        return Retrier(sleep=self.waits.append, report=self.said.append)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Commands wait by this clock too, and say on stderr what for."""
    clock = Clock()

    def told(said: str) -> None:
        clock.said.append(said)
        print(said, file=sys.stderr)

    monkeypatch.setattr("zoo.cli._retries.retrier", lambda: Retrier(sleep=clock.waits.append, report=told))
    return clock


def left_in(folder):
    """The files and folders that a test finds there, hidden ones too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
