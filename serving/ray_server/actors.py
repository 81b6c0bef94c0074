"""The actors and tasks that run in the cluster. The front process imports this module, so torch is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.application.models import Part, ReceivedRequest
from serving.front.sources import CheckpointSource
from serving.ray_server.messages import Loaded, Pulse, ReplicaSettings
from serving.server.model_store import Archive, read_archive

if TYPE_CHECKING:
    from serving.ray_server.answering import AnsweringReplica
    from serving.service.family_store import FamilyStore


def adopted(source: CheckpointSource | Path, archives: Path) -> tuple[Archive, bytes]:
    """The archive of a checkpoint or at a path, and its content. A task that runs on the machine of the front process.

    Raises: the errors of `read_archive` and `LocatedCheckpoint`.
    """
    if isinstance(source, Path):
        archive = read_archive(source)
    else:
        from serving.front.model_loading import LocatedCheckpoint

        archive = LocatedCheckpoint.of(source).archived(archives)
    return archive, archive.path.read_bytes()


class Counts:
    """Counts the questions about each image for all replicas of a server, on the machine of the front process.

    The counts are in files, so that a new process continues where one that died had stopped.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: FamilyStore | None = None

    def index(self, *, image: bytes, question: bytes) -> int:
        """As `FamilyStore.index`. A call that is repeated after a failure gets the same index."""
        if self._store is None:
            from serving.service.family_store import FamilyStore

            self._folder.mkdir(parents=True, exist_ok=True)
            self._store = FamilyStore(self._folder)
        return self._store.index(image=image, question=question)


class Replica:
    """One replica of a version of a model. Its methods are called from the front process."""

    def __init__(self) -> None:
        """Imports PyTorch, which takes most of a start, while the archive is made."""
        import serving.ray_server.answering  # noqa: F401

        self._replica: AnsweringReplica

    def load(self, settings: ReplicaSettings, content: bytes, counts: Any) -> Loaded:
        """Loads the model from the archive's content; `counts` is the actor of `Counts`. Raises: ZooError."""
        from serving.ray_server.answering import AnsweringReplica

        self._replica = AnsweringReplica.load(settings, content, counts)
        return self._replica.loaded()

    async def answer(self, id: int, request: ReceivedRequest) -> Part:
        """Opens a request; its first part that is news."""
        return await self._replica.answer(id, request)

    async def more(self, id: int) -> Part:
        """The next part of an open request."""
        return await self._replica.more(id)

    async def forget(self, id: int) -> None:
        """Ends a request, if it is still open."""
        self._replica.forget(id)

    async def pulse(self) -> Pulse:
        """What the replica reports of itself."""
        return self._replica.pulse()

    async def close(self) -> None:
        """Removes the replica's files. No request may be open."""
        self._replica.close()
