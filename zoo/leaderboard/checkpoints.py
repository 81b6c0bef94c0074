"""The leaderboard document of a checkpoint directory, with the checks of `zoo verify` that need no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.cards.leaderboard import leaderboard_entry
from zoo.cards.leaderboard_schema import LeaderboardEntry, write_entry
from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.leaderboard.folders import Content
from zoo.models.layout import CONFIG, MANIFEST, ROWS
from zoo.verification.claims import check_card, check_empirical, check_numbers, check_rows
from zoo.verification.integrity import check_contents, file_hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEntry:
    """A checkpoint's document, its log if it has one, and the faults of its files."""

    entry: LeaderboardEntry
    document: Content
    log: Content | None
    faults: tuple[str, ...]


def open_entry(directory: Path, *, name: str) -> OpenedEntry:
    """The document of a checkpoint that the site calls `name`.

    Files of the manifest that are missing, such as large weights, are not checked.
    Raises: CheckpointError if the manifest or the config cannot be read, or the config makes an impossible claim.
    """
    manifest, spec = read_manifest(directory), read_spec(directory)
    hashes = file_hashes(directory, manifest)
    changed = [name for name, sha256 in hashes.items() if sha256 != manifest[name]]
    faults = [f"{name}: SHA-256 is {hashes[name]}, {MANIFEST} says {manifest[name]}" for name in changed]
    faults += [f"{CONFIG} is not in {MANIFEST}"] if CONFIG not in manifest else []
    rows_check, rows = check_rows(directory, spec, hashes)
    checks = [
        check_contents(directory, hashes),
        rows_check,
        check_numbers(spec.certified.certification, rows),
        check_empirical(spec.certified.empirical),
        check_card(directory, spec, manifest),
    ]
    entry = leaderboard_entry(spec, files=manifest, source=str(directory))
    return OpenedEntry(
        entry=entry,
        document=Content(f"{name}/leaderboard.json", write_entry(entry).encode()),
        log=Content(f"{name}/{ROWS}", (directory / ROWS).read_bytes()) if ROWS in hashes else None,
        faults=(*faults, *(f"{check.name}: {finding}" for check in checks for finding in check.findings)),
    )
