"""The record of a running server: a file in its archive store, by which `zoo models` finds the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.server.keys import read_key
from serving.server.management import Management
from zoo.errors import RequestError, ServerError
from zoo.host.atomic_write import write_atomically
from zoo.host.untrusted_json import parse_json

if TYPE_CHECKING:
    from serving.server.engine import Engine

FILE = "server.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """The addresses and folders by which another process on this machine can change a server's models."""

    management: str
    key_file: str
    archives: str
    signs: str
    metrics: str
    logs: str

    @classmethod
    def of(cls, server: Engine) -> ServerRecord:
        return cls(
            management=server.management_url,
            key_file=str(server.key_file),
            archives=str(server.model_store),
            signs=str(server.signs),
            metrics=str(server.metrics_folder),
            logs=str(server.logs),
        )

    @classmethod
    def read(cls, store: Path) -> ServerRecord:
        """The record in a store.

        Raises: RequestError if no server runs with this store; ServerError if the file is damaged.
        """
        try:
            return cls(**parse_json((store / FILE).read_text()))
        except FileNotFoundError as error:
            raise RequestError(f"no server runs with the store {store}: start one with zoo serve --store") from error
        except (OSError, ValueError, TypeError) as error:
            raise ServerError(f"{store / FILE} cannot be read: {error}") from error

    @contextmanager
    def kept_in(self, store: Path) -> Iterator[None]:
        """Keeps the record's file in the store while the block runs."""
        file = store / FILE
        write_atomically(file, json.dumps(asdict(self), indent=2) + "\n")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    def open_management(self) -> Management:
        """A connection to the server's management API. Raises: ServerError if its key cannot be read."""
        return Management(self.management, token=read_key(Path(self.key_file)))
