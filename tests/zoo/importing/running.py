"""One import, as the tests ask for it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import ForeignCheckpointError
from zoo.importing.importer import ImportOptions, ImportReport, import_file


def imported(content: Any, tmp_path: Path, **options: Any) -> tuple[Checkpoint, ImportReport]:
    """What becomes of a file with that content; without normalization unless one is stated."""
    torch.save(content, tmp_path / "foreign.pth")
    stated = {"normalization": "none"} | options
    return import_file(tmp_path / "foreign.pth", tmp_path / "checkpoint", ImportOptions(**stated))


def refusal(content: Any, tmp_path: Path, **options: Any) -> str:
    """The message of a refused import, which leaves nothing behind."""
    with pytest.raises(ForeignCheckpointError) as refused:
        imported(content, tmp_path, **options)
    assert not (tmp_path / "checkpoint").exists()
    return str(refused.value)
