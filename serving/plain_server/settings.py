"""What a worker process is started with, and how it crosses the connection."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving.front.sources import CheckpointSource

FOLDERS = ("archives", "unpacked", "signs", "families", "metrics", "temporary")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker loads, either an archive that the server has adopted or a checkpoint, and the server's folders.

    `archives`: adopted archives. `unpacked`: a folder for this worker's files. `signs`: the signs of draining.
    `families`: the counts of questions. `metrics`: the metrics of the workers. `temporary`: for temporary files.
    `noise_secret`: the deployment's secret, in hexadecimal digits.
    """

    source: CheckpointSource | Path
    archives: Path
    unpacked: Path
    signs: Path
    families: Path
    metrics: Path
    temporary: Path
    noise_secret: str

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        folders = {name: str(getattr(self, name)) for name in FOLDERS}
        source = {"archive": str(self.source)} if isinstance(self.source, Path) else {"checkpoint": asdict(self.source)}
        return {**folders, **source, "noise_secret": self.noise_secret}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WorkerSettings:
        """The settings that `to_json` gave."""
        given = dict(values)
        checkpoint, archive = given.pop("checkpoint", None), given.pop("archive", None)
        source: CheckpointSource | Path
        if checkpoint is None:
            source = Path(archive)
        else:
            source = CheckpointSource(**{**checkpoint, "limits": tuple(checkpoint["limits"])})
        secret = given.pop("noise_secret")
        return cls(source=source, noise_secret=secret, **{name: Path(value) for name, value in given.items()})
