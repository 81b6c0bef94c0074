"""The leaderboard document of a checkpoint directory, with the checks of `zoo verify` that need no weights."""

from __future__ import annotations

from pathlib import Path

from zoo.cards.leaderboard import leaderboard_entry
from zoo.cards.leaderboard_schema import LeaderboardEntry
from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.models.layout import CONFIG, MANIFEST
from zoo.verification.claims import check_card, check_empirical, check_numbers, check_rows
from zoo.verification.integrity import check_contents, file_hashes


def entry_of(directory: Path) -> LeaderboardEntry:
    """The document of a checkpoint. Raises: CheckpointError if the manifest, the config or a claim is invalid."""
    return leaderboard_entry(read_spec(directory), files=read_manifest(directory), source=str(directory))


def checkpoint_faults(directory: Path) -> list[str]:
    """One sentence per fault of a checkpoint's files, rows, numbers and card.

    Files of the manifest that are missing, such as large weights, are not checked.
    Raises: CheckpointError if the manifest or the config cannot be read.
    """
    manifest, spec = read_manifest(directory), read_spec(directory)
    hashes = file_hashes(directory, manifest)
    changed = [name for name, sha256 in hashes.items() if sha256 != manifest[name]]
    faults = [f"{name}: SHA-256 is {hashes[name]}, {MANIFEST} says {manifest[name]}" for name in changed]
    faults += [] if CONFIG in manifest else [f"{CONFIG} is not in {MANIFEST}"]
    rows_check, rows = check_rows(directory, spec, hashes)
    checks = [
        check_contents(directory, hashes),
        rows_check,
        check_numbers(spec.certified.certification, rows),
        check_empirical(spec.certified.empirical),
        check_card(directory, spec, manifest),
    ]
    return [*faults, *(f"{check.name}: {finding}" for check in checks for finding in check.findings)]
