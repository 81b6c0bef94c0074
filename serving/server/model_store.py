"""Archives of a model store, and their manifests."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ServerError
from zoo.filesystem.untrusted_json import parse_json

MANIFEST = "MAR-INF/MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive of one version of a model, with TorchServe's name and version of the model."""

    path: Path
    name: str
    version: str


def read_archive(path: Path) -> Archive:
    """The archive at `path`. Raises: ServerError if the file is missing, damaged or not an archive."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
            if damaged is not None:
                raise ServerError(f"the archive {path} is damaged at {damaged}: create it again with zoo archive")
            model = parse_json(file.read(MANIFEST))["model"]
            return Archive(path, str(model["modelName"]), str(model["modelVersion"]))
    except FileNotFoundError as error:
        raise ServerError(f"the archive {path} does not exist: create it with zoo archive") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ServerError(f"{path} is not a model archive or is damaged: create it with zoo archive") from error
