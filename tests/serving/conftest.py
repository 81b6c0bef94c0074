"""One running server of each engine for the tests that do not harm it, and the pictures that they ask it about."""

import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.plain_server.server import PlainServer
from serving.protocol import Limits
from serving.server import ServerOptions
from serving.server.archive import make_archive
from serving.server.engine import Engine
from serving.torchserve import TorchServe
from training.tasks import open_task
from zoo.checkpoints.checkpoint import Checkpoint

LIMITS = Limits(
    n=500, max_n=50_000, max_pixels=4096, max_bytes=100_000, max_open_requests=12,
    allows_seed=True,
)  # fmt: skip


@dataclass(frozen=True)
class Served:
    """A served digits model. `worker_word` is in the command line of its workers, and in no other."""

    server: Engine
    archive: Path
    checkpoint: Checkpoint
    worker_word: str

    @property
    def url(self) -> str:
        return self.server.prediction_url(self.archive)

    @property
    def name(self) -> str:
        return self.checkpoint.spec.name

    @property
    def workers(self) -> set[int]:
        """The process ids of the workers."""
        processes = self.server.processes()
        return {each.pid for each in processes if any(self.worker_word in word for word in each.cmdline())}


on_each_engine = pytest.mark.parametrize("served", ["torchserve", "asgi"], indirect=True)
on_all_engines = pytest.mark.parametrize("served", ["torchserve", "asgi", "ray"], indirect=True)
on_ray = pytest.mark.parametrize("served", ["ray"], indirect=True)


@pytest.fixture(scope="session")
def served_archive(digits_checkpoint, tmp_path_factory):
    """The archive that the servers share."""
    return make_archive(digits_checkpoint, tmp_path_factory.mktemp("store"), limits=LIMITS, device="cpu")


@pytest.fixture(scope="session")
def served_by_torchserve(digits_checkpoint, served_archive):
    with TorchServe([served_archive], options=ServerOptions(threads=2)) as server:
        yield Served(server, served_archive, digits_checkpoint, "model_service_worker")


@pytest.fixture(scope="session")
def served_by_asgi(digits_checkpoint, served_archive):
    with PlainServer([served_archive], options=ServerOptions(threads=2)) as server:
        yield Served(server, served_archive, digits_checkpoint, "serving.plain_server.worker")


@pytest.fixture(scope="session")
def served_by_ray(digits_checkpoint, served_archive):
    """Two replicas in a cluster of their own, which starts at the first use and ends with the tests of this process."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install 'certified-zoo[ray]'")
    from serving.ray_server.scaling import Bounds
    from serving.ray_server.server import ClusterOptions, RayServer

    options = ServerOptions(threads=2, can_switch_models=True)
    with RayServer([served_archive], cluster=ClusterOptions(replicas=Bounds(2, 2)), options=options) as server:
        yield Served(server, served_archive, digits_checkpoint, "ray::Replica")


@pytest.fixture(scope="session")
def served(request):
    """A server with seeds allowed, room for twelve requests and two threads to compute on.

    It is TorchServe; a test that is marked `on_each_engine` gets the plain server, too, and one that is marked
    `on_all_engines` also two replicas of Ray with room for twelve requests each. A test may kill a worker: another one
    comes.
    """
    return request.getfixturevalue(f"served_by_{getattr(request, 'param', 'torchserve')}")


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
