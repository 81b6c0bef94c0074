"""`zoo verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Json, Model

if TYPE_CHECKING:
    from zoo.verification import Check, Verification


def verify(
    model: Model,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", metavar="FILE", help="Also check that the owner of this key signed it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a checkpoint's files, and compute every number of its card again from its rows; code 1 where one differs.

    That the files agree with each other does not say who made them (--public-key does), nor that the rows are what the
    network gives (zoo audit asks it). docs/trust.md says what catches what.
    """
    from zoo.loading.locate import locate
    from zoo.verification import verify as verify_directory

    directory = Path(model) if Path(model).is_dir() else locate(model).path
    found = verify_directory(directory, public_key=public_key)
    typer.echo(json.dumps(_as_json(model, found), indent=2) if as_json else "\n".join(_lines(model, found)))
    if found.has_failed:
        raise typer.Exit(1)


def _lines(model: str, found: Verification) -> list[str]:
    lines = [line for check in found.checks for line in _lines_of(check)]
    failed = sum(check.outcome == "failed" for check in found.checks)
    if failed:
        return [*lines, f"{model}: FAILED, {failed} of {len(found.checks)} checks"]
    signed = f", signed with {found.is_signed_by}" if found.is_signed_by else ", not checked who made it"
    return [*lines, f"{model}: its files agree with each other{signed}"]


def _lines_of(check: Check) -> list[str]:
    findings = [f"{'':10} - {finding}" for finding in check.findings]
    return [f"{check.outcome:10} {check.name}: {check.note}", *findings]


def _as_json(model: str, found: Verification) -> dict[str, Any]:
    checks = [
        {"name": check.name, "outcome": check.outcome, "note": check.note, "findings": list(check.findings)}
        for check in found.checks
    ]
    signed_by = None if found.is_signed_by is None else str(found.is_signed_by)
    return {"model": model, "verified": not found.has_failed, "signed_by": signed_by, "checks": checks}
