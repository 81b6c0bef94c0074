"""One running server for the tests that do not harm it, and the pictures that they ask it about."""

import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.protocol import Limits
from serving.server import ServerOptions
from serving.server.archive import make_archive
from serving.torchserve import TorchServe
from training.tasks import open_task
from zoo.checkpoints.checkpoint import Checkpoint

LIMITS = Limits(
    n=500, max_n=50_000, max_pixels=4096, max_bytes=100_000, max_open_requests=12,
    allows_seed=True,
)  # fmt: skip


@dataclass(frozen=True)
class Served:
    """A served digits model."""

    server: TorchServe
    archive: Path
    checkpoint: Checkpoint

    @property
    def url(self) -> str:
        return self.server.prediction_url(self.archive)

    @property
    def name(self) -> str:
        return self.checkpoint.spec.name


@pytest.fixture(scope="session")
def served(digits_checkpoint, tmp_path_factory):
    """A server with seeds allowed, room for twelve requests and two threads to compute on.

    A test may kill its worker: another one comes.
    """
    store = tmp_path_factory.mktemp("store")
    archive = make_archive(digits_checkpoint, store, limits=LIMITS, device="cpu")
    with TorchServe([archive], options=ServerOptions(threads=2)) as server:
        yield Served(server, archive, digits_checkpoint)


@pytest.fixture(scope="session")
def digit_pngs(tmp_path_factory) -> list[bytes]:
    """Twenty encoded test digits."""
    task = open_task("digits", data_dir=tmp_path_factory.mktemp("digits-data"))
    pngs = []
    for index in range(20):
        buffer = io.BytesIO()
        task.test[index].save(buffer, format="PNG")
        pngs.append(buffer.getvalue())
    return pngs
