"""Certification logs: one tab-separated row per image.

The first six columns are those of the logs published with Cohen et al. 2019 and later papers. Tools for those logs read
ours, and this module reads theirs. The other columns record how the radius was found. An abstention has predict -1 and
radius 0. Radii are written with all digits, because rounding to nearest could claim more than was proved. Logs of
earlier versions have no column for the bound and for the votes of other classes; their rows have the bound that their
rule then had.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from io import StringIO
from pathlib import Path

from zoo.errors import CertificationError, LogError
from zoo.results.possible_row import require_possible
from zoo.results.row import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.certificate import Certificate
from zoo.smoothing.named_rules import UNNAMED_BOUND

__all__ = [
    "ABSTAIN",
    "COLUMNS",
    "HEADER",
    "CertificationRow",
    "Provenance",
    "common_radius_asked",
    "format_row",
    "parse_log",
    "read_log",
    "row_of",
]

PUBLISHED_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
PROVENANCE_COLUMNS = tuple(field.name for field in fields(Provenance))
COLUMNS = PUBLISHED_COLUMNS + PROVENANCE_COLUMNS
HEADER = "\t".join(COLUMNS)
# Earlier versions wrote no columns from `bound` on, or only these two of them.
ADDED_COLUMNS = PROVENANCE_COLUMNS[PROVENANCE_COLUMNS.index("bound") :]
FIRST_ADDED_COLUMNS = ("bound", "count_b")


def row_of(
    certificate: Certificate, *, idx: int, label: int, count_label: int, seconds: float, seed: int
) -> CertificationRow:
    """The log row of one certified test image.

    Args:
        certificate: The certificate of the image.
        idx: The image's index in the test set.
        label: The true class.
        count_label: Votes for the true class among the certificate's `n` draws.
        seconds: The time that the certification took.
        seed: The root seed of the run.
    """
    return CertificationRow(
        idx=idx,
        label=label,
        predict=ABSTAIN if certificate.label is None else certificate.label,
        radius=certificate.radius,
        correct=certificate.label == label,
        time=str(timedelta(seconds=seconds)),
        provenance=Provenance(
            count_a=certificate.count_a,
            n=certificate.n,
            n0=certificate.n0,
            alpha=certificate.alpha,
            sigma=certificate.sigma,
            p_a_lower=certificate.p_a_lower,
            stopping=certificate.stopping,
            radius_asked=certificate.radius_asked,
            noise=certificate.noise,
            backend=certificate.backend,
            seed=seed,
            bound=certificate.bound,
            count_b=certificate.count_b,
            p_b_upper=certificate.p_b_upper,
            count_label=count_label,
        ),
    )


def format_row(row: CertificationRow) -> str:
    """The row's line, without its newline."""
    values = [row.idx, row.label, row.predict, row.radius, int(row.correct), row.time]
    if row.provenance is not None:
        values += [getattr(row.provenance, name) for name in PROVENANCE_COLUMNS]
    return "\t".join("" if value is None else str(value) for value in values)


def read_log(path: Path) -> list[CertificationRow]:
    """The rows of one of our logs or of a published log, in file order.

    Raises: LogError that names the file and line if the log is missing, malformed, or claims an impossible value.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LogError(f"{path} cannot be read: {error}") from error
    return parse_log(text, source=str(path))


def parse_log(text: str, *, source: str) -> list[CertificationRow]:
    """The rows of a log in a string, as for `read_log`; `source` names the log in errors."""
    reader = csv.DictReader(StringIO(text), delimiter="\t")
    if tuple(reader.fieldnames or ())[: len(PUBLISHED_COLUMNS)] != PUBLISHED_COLUMNS:
        raise LogError(f"{source} does not begin with the columns {' '.join(PUBLISHED_COLUMNS)}")
    _require_whole_groups(reader.fieldnames or (), source)
    rows: list[CertificationRow] = []
    try:
        for values in reader:
            if None in values.values() or None in values:
                raise ValueError(f"expected {len(reader.fieldnames or ())} columns; is the file cut off?")
            rows.append(_parse_row(values))
    except (ValueError, TypeError, csv.Error, CertificationError) as error:
        raise LogError(f"{source}, line {len(rows) + 2}: {error}") from error
    _require_distinct(rows, source)
    common_radius_asked(rows, source=source)
    return rows


def _require_whole_groups(names: Sequence[str], source: str) -> None:
    """Raises LogError unless the provenance columns are those that this version or an earlier one writes."""
    given = [name for name in PROVENANCE_COLUMNS if name in names]
    without_added = [name for name in PROVENANCE_COLUMNS if name not in ADDED_COLUMNS]
    if given in ([], without_added, [*without_added, *FIRST_ADDED_COLUMNS]):
        return
    missing = [name for name in PROVENANCE_COLUMNS if name not in given]
    if missing:
        raise LogError(f"{source} has some of the columns that record how a radius was found, but not {missing[0]}")


def common_radius_asked(rows: Sequence[CertificationRow], *, source: str = "the log") -> float | None:
    """The radius that was requested for all rows; None if the rows are not at-radius rows.

    Raises: LogError if at-radius rows are mixed with rows of another rule or another radius, because no number
    summarizes such a mixture.
    """
    kinds = list(dict.fromkeys(_kind(row) for row in rows))
    requested = [radius for _, radius in kinds if radius is not None]
    if requested and len(kinds) > 1:
        first, second = (rule if radius is None else f"{rule} {radius}" for rule, radius in kinds[:2])
        raise LogError(f"{source} mixes rows of the rules {first} and {second}: report them separately")
    return requested[0] if requested else None


def _kind(row: CertificationRow) -> tuple[str, float | None]:
    return ("unknown", None) if row.provenance is None else (row.provenance.stopping, row.provenance.radius_asked)


def _parse_row(values: dict[str, str]) -> CertificationRow:
    row = CertificationRow(
        idx=int(values["idx"]),
        label=int(values["label"]),
        predict=int(values["predict"]),
        radius=float(values["radius"]),
        correct=bool(int(values["correct"])),
        time=values["time"],
        provenance=_parse_provenance(values) if "count_a" in values else None,
    )
    if not 0 <= row.radius < float("inf"):
        raise ValueError(f"radius {row.radius} is not a certified radius, which is finite and at least 0")
    if row.correct != (row.predict == row.label):
        raise ValueError(f"correct is {int(row.correct)}, but label is {row.label} and predict {row.predict}")
    if row.label < 0:
        raise ValueError(f"label {row.label} is not a class index")
    if row.idx < 0 or row.predict < ABSTAIN or values["correct"] not in ("0", "1"):
        raise ValueError(f"idx {row.idx}, predict {row.predict} or correct {values['correct']} is out of range")
    if row.predict == ABSTAIN and row.radius > 0:
        raise ValueError(f"an abstention has radius {row.radius}, expected 0")
    if row.provenance is not None:
        require_possible(row, row.provenance)
    return row


def _parse_provenance(values: dict[str, str]) -> Provenance:
    return Provenance(
        count_a=int(values["count_a"]),
        n=int(values["n"]),
        n0=int(values["n0"]),
        alpha=float(values["alpha"]),
        sigma=float(values["sigma"]),
        p_a_lower=_number(values["p_a_lower"]),
        stopping=values["stopping"],
        radius_asked=_number(values["radius_asked"]),
        noise=values["noise"],
        backend=values["backend"],
        seed=int(values["seed"]),
        bound=values.get("bound") or UNNAMED_BOUND.get(values["stopping"], ""),
        count_b=_count(values.get("count_b")),
        p_b_upper=_number(values.get("p_b_upper")),
        count_label=_count(values.get("count_label")),
    )


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _count(text: str | None) -> int | None:
    return int(text) if text else None


def _require_distinct(rows: Sequence[CertificationRow], source: str) -> None:
    seen: set[int] = set()
    for row in rows:
        if row.idx in seen:
            raise LogError(f"{source} contains image {row.idx} twice")
        seen.add(row.idx)
