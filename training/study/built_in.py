"""The studies that the package brings, by name."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import RequestError

FOLDER = Path(__file__).parent / "studies"


def built_in_studies() -> dict[str, Path]:
    """The study files of the package by the names of their studies."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_study(study: str) -> Path:
    """The file of a built-in study of this name, else the file at this path.

    A file of the user's that bears the name of a built-in study is given as `./NAME`.
    Raises: RequestError that lists the built-in studies if there is neither.
    """
    known = built_in_studies()
    path = known.get(study, Path(study))
    if not path.exists():
        raise RequestError(
            f"unknown study {study!r}; known: {', '.join(known)}. A study file (YAML) can be given too, "
            "and there is none at this path"
        )
    return path
