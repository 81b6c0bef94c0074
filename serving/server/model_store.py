"""A folder of archives, and what an archive says of itself."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ServerError

MANIFEST = "MAR-INF/MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Archive:
    """A model in one version, as TorchServe will know it."""

    path: Path
    name: str
    version: str


def read_archive(path: Path) -> Archive:
    """What the archive's manifest says. Raises: ServerError if the file is missing, damaged or no archive."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
            if damaged is not None:
                raise ServerError(f"the archive {path} is damaged at {damaged}: make it again with zoo archive")
            model = json.loads(file.read(MANIFEST))["model"]
            return Archive(path, str(model["modelName"]), str(model["modelVersion"]))
    except FileNotFoundError as error:
        raise ServerError(f"there is no archive {path}: make it with zoo archive") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ServerError(f"{path} is no archive of a model, or a damaged one: make it with zoo archive") from error
