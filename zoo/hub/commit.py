"""A commit: the only name of a state of a repository that cannot be moved."""

from __future__ import annotations

from dataclasses import dataclass

ATTRIBUTES = ".gitattributes"  # the Hub's own file in every repository: which names are stored as large files


@dataclass(frozen=True, slots=True)
class Commit:
    """A pushed or pulled state of a repository."""

    repository: str
    sha: str
    url: str
