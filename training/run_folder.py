"""`DIR/.run/`: what a run keeps for itself beside the checkpoint; outside the manifest and never pushed."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from training.recipe import TrainingRecipe
from zoo.errors import CheckpointError, RecipeError
from zoo.filesystem.atomic_write import replaced_file, write_atomically

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What must be equal for a run to be the continuation of another."""

    recipe: TrainingRecipe
    task: str
    data: str
    seed: int
    parent: str | None
    num_ranks: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "data": self.data,
            "seed": self.seed,
            "init": self.parent or "random",
            "num_ranks": self.num_ranks,
            "recipe": self.recipe.describe(),
        }


@dataclass(frozen=True, slots=True)
class RunState:
    """A run at the end of an epoch."""

    epochs_done: int
    backbone: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[float]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run: recipe.json, environment.json, state.pt, log.jsonl and TensorBoard's scalars."""

    path: Path

    def begin(self, identity: RunIdentity) -> None:
        """Records the run. A run that never finished an epoch is begun again.

        Raises: RecipeError if the folder holds a run with finished epochs or anything else, or cannot be made.
        """
        output = self.path.parent
        if (self.path / "state.pt").exists():
            raise RecipeError(
                f"{output} holds a run already: add --resume to go on with it, or choose another --output"
            )
        try:
            if output.exists() and any(path != self.path for path in output.iterdir()):
                raise RecipeError(f"{output} is not empty, and would become the checkpoint: choose another --output")
            self.path.mkdir(parents=True, exist_ok=True)
            _write_json(self.path / "recipe.json", identity.as_json())
            _write_json(self.path / "environment.json", _environment())
        except OSError as error:
            raise RecipeError(f"cannot use --output {output}: {error.strerror or error}") from error

    def resume(self, identity: RunIdentity) -> RunState | None:
        """The state at the end of the last finished epoch; None if the run never finished one.

        Raises: RecipeError if the folder holds another run; CheckpointError if the state cannot be read.
        """
        if not (self.path / "recipe.json").exists():
            self.begin(identity)
            return None
        try:
            found = json.loads((self.path / "recipe.json").read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path / 'recipe.json'} is damaged ({error}): delete {self.path}") from error
        differences = _differences(found, json.loads(json.dumps(identity.as_json())))
        if differences:
            raise RecipeError(
                f"{self.path.parent} holds another run ({'; '.join(differences)}): resume it as it was started"
            )
        return self._load_state()

    def save_state(self, state: RunState) -> None:
        """Replaces the state in one move, so that a cut-off leaves the one before it.

        Raises: CheckpointError if it cannot be written.
        """
        content = {
            "version": STATE_VERSION,
            "epochs_done": state.epochs_done,
            "backbone": state.backbone,
            "optimizer": state.optimizer,
            "history": state.history,
        }
        try:
            with replaced_file(self.path / "state.pt") as temporary:
                torch.save(content, temporary)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"cannot write {self.path / 'state.pt'}: {error}; the one before it is kept"
            ) from error

    def _load_state(self) -> RunState | None:
        path = self.path / "state.pt"
        if not path.exists():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            return RunState(content["epochs_done"], content["backbone"], content["optimizer"], content["history"])
        except Exception as error:  # torch.load raises whatever its unpickler meets
            raise CheckpointError(f"{path} is damaged ({error}): delete it to start the run again") from error


def _differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = sorted(found.keys() | wanted.keys())
        return [
            line
            for name in names
            for line in _differences(found.get(name), wanted.get(name), f"{path}.{name}".lstrip("."))
        ]
    return [] if found == wanted else [f"{path} was {found!r}, is {wanted!r}"]


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {name: version(name) for name in ("accelerate", "numpy", "torch", "torchvision")},
    }


def _write_json(path: Path, value: object) -> None:
    write_atomically(path, json.dumps(value, indent=2) + "\n")
