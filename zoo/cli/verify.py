"""`zoo verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Json, Model
from zoo.cli._plain import cell, echo

if TYPE_CHECKING:
    from zoo.verification import Check, Verification


def verify(
    model: Model,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", metavar="FILE", help="Also check that the owner of this key signed the checkpoint."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a checkpoint's files, and recompute its card from its rows.

    The exit code is 1 if a check fails.

    Files that agree with each other do not show who made them (--public-key does), nor that the rows are results of the
    network (zoo audit tests that). docs/explanation/trust.md lists which check detects which forgery.

    Example: zoo verify my-model
    """
    from zoo.loading.locate import locate
    from zoo.verification import verify as verify_directory

    directory = Path(model) if Path(model).is_dir() else locate(model).path
    verification = verify_directory(directory, public_key=public_key)
    echo(json.dumps(_as_json(model, verification), indent=2) if as_json else "\n".join(_lines(model, verification)))
    if verification.has_failed:
        raise typer.Exit(1)


def _lines(model: str, verification: Verification) -> list[str]:
    lines = [line for check in verification.checks for line in _lines_of(check)]
    failed = sum(check.outcome == "failed" for check in verification.checks)
    if failed:
        return [*lines, f"{model}: FAILED, {failed} of {len(verification.checks)} checks"]
    signed = (
        f", signed with {verification.is_signed_by}" if verification.is_signed_by else ", their author was not checked"
    )
    return [*lines, f"{model}: its files agree with each other{signed}"]


def _lines_of(check: Check) -> list[str]:
    findings = [f"{'':10} - {cell(finding)}" for finding in check.findings]
    return [f"{check.outcome:10} {check.name}: {cell(check.note)}", *findings]


def _as_json(model: str, verification: Verification) -> dict[str, Any]:
    checks = [
        {"name": check.name, "outcome": check.outcome, "note": check.note, "findings": list(check.findings)}
        for check in verification.checks
    ]
    signed_by = None if verification.is_signed_by is None else str(verification.is_signed_by)
    return {"model": model, "verified": not verification.has_failed, "signed_by": signed_by, "checks": checks}
