"""Reading of foreign files. No code in a file is executed; only tensors and plain containers are returned."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from zoo.checkpoints.checkpoint import sha256_of
from zoo.errors import ForeignCheckpointError

SAFETENSORS = ".safetensors"
# Matches both of torch's messages: for globals that it does not know and for globals that it blocks.
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """The content of a file: tensors and plain values in nested mappings, all on the CPU."""

    path: Path
    sha256: str
    content: Mapping[str, Any]


def read_foreign_file(path: Path) -> ForeignFile:
    """The content of a .safetensors file, or of a file written by torch.save, with the file's SHA-256.

    Raises: ForeignCheckpointError if the file cannot be read, is damaged, or needs more than tensors and plain values.
    """
    if not path.is_file():
        raise ForeignCheckpointError(f"{path} is not a file: give a checkpoint file of another project")
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
        sha256 = sha256_of(path)
    except OSError as error:
        raise ForeignCheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if start.startswith(b"<"):
        raise ForeignCheckpointError(f"{path} is a web page, not a checkpoint: the download needs a browser or a login")
    content = _read_safetensors(path) if path.suffix == SAFETENSORS else _read_pickle(path)
    if not isinstance(content, Mapping):
        raise ForeignCheckpointError(f"{path} contains a {type(content).__name__}, expected a state dict")
    return ForeignFile(path=path, sha256=sha256, content=content)


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ForeignCheckpointError(f"{path} is not an intact safetensors file: {error}") from error


def _read_pickle(path: Path) -> object:
    """The result of torch.load with weights_only=True: tensors, numbers, strings and their containers.

    The command line that timm's training script stores is a container of such values too.
    """
    try:
        # Copied, not memory-mapped: if a mapped file is truncated, reading it kills the process.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # the bytes are untrusted, and an unpickler can raise any exception
        raise ForeignCheckpointError(f"{path} cannot be imported: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    refused = _REFUSED_GLOBAL.search(str(error))
    if refused is not None:
        return (
            f"it is a pickle that needs {refused[1]} in addition to tensors, which could run code. Load it in a "
            "sandbox without network, write its state dict (every tensor cloned) with safetensors.torch.save_file, and "
            "import that file"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # torch puts its advice first and the reason on a separate line.
    reason = next((line for line in lines if not line.startswith(("Weights only", "Please file", "Check the"))), "")
    return f"it is not an intact checkpoint ({reason or type(error).__name__})"
