"""Archives of a model store, and what is in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ServerError
from zoo.host.atomic_write import replaced_file
from zoo.host.untrusted_json import parse_json
from zoo.models.identity import weights_sha256
from zoo.models.layout import DENOISER, ONNX, WEIGHTS

MANIFEST = "MAR-INF/MANIFEST.json"
CHUNK_BYTES = 1 << 20


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


def adopt(path: Path, folder: Path, *, weights_sha256: str | None) -> Archive:
    """The archive at `path` under the same name in `folder`, from which a server loads it.

    `folder` is the server's own, so nobody replaces the archive after this call. It is a link to the same file if the
    file system allows one, and a copy otherwise.
    Raises: the errors of `read_archive`; ServerError if the archive cannot be copied, or its weights do not have the
    given SHA-256 (None accepts any).
    """
    read_archive(path)
    try:
        with replaced_file(folder / path.name) as temporary:
            try:
                os.link(path.resolve(), temporary)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, temporary)
    except OSError as error:
        raise ServerError(f"the archive {path} cannot be copied to {folder}: {error}") from error
    archive = read_archive(folder / path.name)
    if weights_sha256 is not None:
        require_weights(archive.path, weights_sha256)
    return archive


def require_weights(path: Path, sha256: str) -> None:
    """Raises ServerError unless the weights in the archive have the identity `sha256` (`zoo.models.identity`)."""
    with zipfile.ZipFile(path) as archive:
        present = set(archive.namelist())
        names = present & ({ONNX} if WEIGHTS not in present else {WEIGHTS, DENOISER})
        found = weights_sha256({name: _sha256_in(archive, name) for name in names or {WEIGHTS}})
    if found != sha256:
        raise ServerError(
            f"the archive {path} holds other weights than the checkpoint: SHA-256 is {found}, the checkpoint's is "
            f"{sha256}; start again"
        )


def _sha256_in(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
