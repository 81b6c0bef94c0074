"""`DIR/.run/`: the state that a run keeps next to its checkpoint. It is not in the manifest and never pushed."""

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
from zoo.host.atomic_write import replaced_file, write_atomically

STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The values that must match for a run to be resumed."""

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
    """The state of a run at the end of an epoch."""

    epochs_done: int
    weights: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[float]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run: recipe.json, environment.json, state.pt, log.jsonl and TensorBoard scalars."""

    path: Path

    def begin(self, identity: RunIdentity, *, device: torch.device) -> None:
        """Records the run on a device. A run without a finished epoch starts over.

        Raises: RecipeError if the folder contains a run with finished epochs or other files, or cannot be created.
        """
        output = self.path.parent
        if (self.path / "state.pt").exists():
            raise RecipeError(f"{output} already contains a run: add --resume to resume it, or choose another --output")
        try:
            if output.exists() and any(path != self.path for path in output.iterdir()):
                raise RecipeError(f"{output} is not empty: choose another --output for the checkpoint")
            self.path.mkdir(parents=True, exist_ok=True)
            _write_json(self.path / "recipe.json", identity.as_json())
            _write_json(self.path / "environment.json", _environment(device))
        except OSError as error:
            raise RecipeError(f"cannot use --output {output}: {error.strerror or error}") from error

    def resume(self, identity: RunIdentity, *, device: torch.device) -> RunState | None:
        """The state at the end of the last finished epoch; None if the run has no finished epoch.

        Raises: RecipeError if the folder contains a different run; CheckpointError if the state cannot be read.
        """
        if not (self.path / "recipe.json").exists():
            self.begin(identity, device=device)
            return None
        try:
            recorded = json.loads((self.path / "recipe.json").read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path / 'recipe.json'} is damaged ({error}): delete {self.path}") from error
        differences = _differences(recorded, json.loads(json.dumps(identity.as_json())))
        if differences:
            raise RecipeError(
                f"{self.path.parent} contains a different run ({'; '.join(differences)}): resume it unchanged"
            )
        return self._load_state()

    def save_state(self, state: RunState) -> None:
        """Replaces the state file atomically: an interruption leaves the previous state.

        Raises: CheckpointError if it cannot be written.
        """
        content = {
            "version": STATE_VERSION,
            "epochs_done": state.epochs_done,
            "weights": state.weights,
            "optimizer": state.optimizer,
            "history": state.history,
        }
        try:
            with replaced_file(self.path / "state.pt") as temporary:
                torch.save(content, temporary)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"cannot write {self.path / 'state.pt'}: {error}; the previous state is kept"
            ) from error

    def _load_state(self) -> RunState | None:
        path = self.path / "state.pt"
        if not path.exists():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            return RunState(content["epochs_done"], content["weights"], content["optimizer"], content["history"])
        except Exception as error:  # torch.load passes on every exception of its unpickler
            raise CheckpointError(f"{path} is damaged ({error}): delete it to start the run again") from error


def _differences(recorded: Any, requested: Any, path: str = "") -> list[str]:
    if isinstance(recorded, dict) and isinstance(requested, dict):
        names = sorted(recorded.keys() | requested.keys())
        return [
            line
            for name in names
            for line in _differences(recorded.get(name), requested.get(name), f"{path}.{name}".lstrip("."))
        ]
    return [] if recorded == requested else [f"{path} was {recorded!r}, is {requested!r}"]


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "packages": {name: version(name) for name in ("accelerate", "numpy", "torch", "torchvision")},
    }


def _write_json(path: Path, value: object) -> None:
    write_atomically(path, json.dumps(value, indent=2) + "\n")
