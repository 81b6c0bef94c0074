"""The built-in studies, by name."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import RequestError

FOLDER = Path(__file__).parent / "studies"


def built_in_studies() -> dict[str, Path]:
    """The built-in study files, by study name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_study(study: str) -> Path:
    """The file of the built-in study named `study`, or else the file at the path `study`.

    A user passes `./NAME` for a file that has the same name as a built-in study.
    Raises: RequestError that lists the built-in studies if neither exists.
    """
    known = built_in_studies()
    path = known.get(study, Path(study))
    if not path.exists():
        raise RequestError(
            f"unknown study {study!r}; known: {', '.join(known)}; expected one of these or the path of an "
            "existing study file (YAML)"
        )
    return path
