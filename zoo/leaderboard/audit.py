"""Reports of `zoo audit --json`, which raise the status of a measured result."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from zoo.cards.leaderboard_schema import LeaderboardEntry


class AuditReport(BaseModel):
    """The part of an audit's report that binds it to a result; the report has more fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    refuted: bool
    weights_sha256: str
    rows_sha256: str
    task: str
    num_images: int = Field(ge=1)
    claimed_n: int
    contradictions: Sequence[str]


def audit_faults(report: AuditReport, entry: LeaderboardEntry) -> list[str]:
    """Why an audit does not confirm the document: it refuted a claim, or it is of other weights, rows or claims."""
    certified = entry.measured.certified
    if certified is None:
        return ["there is an audit, but the document claims no certified numbers"]
    pairs = [
        ("weights", report.weights_sha256, entry.weights_sha256),
        ("log", report.rows_sha256, certified.rows_sha256),
        ("task", report.task, certified.images.task),
        ("n", report.claimed_n, certified.n),
    ]
    faults = [
        f"the audit is of {name} {audited}, the document of {own}" for name, audited, own in pairs if audited != own
    ]
    return [*faults, *(["the audit refuted a claim"] if report.refuted or report.contradictions else [])]


def audit_in_words(report: AuditReport) -> str:
    """The extent of an audit, for the details of a row."""
    return f"{report.num_images} random test images certified again: no claim refuted"
