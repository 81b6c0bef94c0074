"""Certification logs: one tab-separated row per image.

The first six columns are those of the logs published with Cohen et al. 2019 and later papers. Tools for those logs
read ours, and this module reads theirs. The other columns record how the radius was found. An abstention has predict
-1 and radius 0. Radii are written with all digits, because rounding to nearest could claim more than was proved. If the
rows have a bound other than their rule's usual one, two further columns record it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Literal, cast

from zoo.errors import CertificationError, LogError
from zoo.smoothing.arguments import checked_alpha, checked_sigma
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.certificate import Certificate
from zoo.smoothing.named_rules import AT_RADIUS, FIXED, RULES
from zoo.smoothing.noise import require_noise
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import CLOPPER_PEARSON, SIMULTANEOUS, FixedSample, Proof, Tally

PUBLISHED_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
ABSTAIN = -1
# The last digits of a bound may differ between machines and library versions.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a row's radius was found. Published logs do not record it.

    `n` is the number of draws made. `bound` is None for the usual bound of the rule. The bound "simultaneous" also uses
    `count_b`, the number of draws that named the most frequent other class.
    """

    count_a: int
    n: int
    n0: int
    alpha: float
    sigma: float
    p_a_lower: float | None
    stopping: str
    radius_asked: float | None
    noise: str
    backend: str
    seed: int
    bound: Literal["simultaneous"] | None = None
    count_b: int | None = None

    def proof_by_counts(self, *, alpha: float) -> Proof:
        """The proof that the counts give under the rule "fixed", with error probability `alpha` left for the bound."""
        rule = FixedSample(self.n, bound=self.bound or CLOPPER_PEARSON)
        tally = Tally(count_a=self.count_a, count_b=self.count_b or 0, n=self.n)
        return rule.prove(tally, radius=None, sigma=self.sigma, alpha=alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRow:
    """The result for one image: its true class, the smoothed classifier's prediction (-1: abstained) and the radius."""

    idx: int
    label: int
    predict: int
    radius: float
    correct: bool
    time: str
    provenance: Provenance | None = None


BOUND_COLUMNS = ("bound", "count_b")
PROVENANCE_COLUMNS = tuple(field.name for field in fields(Provenance) if field.name not in BOUND_COLUMNS)
COLUMNS = PUBLISHED_COLUMNS + PROVENANCE_COLUMNS
HEADER = "\t".join(COLUMNS)
HEADER_WITH_BOUND = "\t".join(COLUMNS + BOUND_COLUMNS)


def row_of(certificate: Certificate, *, idx: int, label: int, seconds: float, seed: int) -> CertificationRow:
    """The log row of one certified test image.

    Args:
        certificate: The certificate of the image.
        idx: The image's index in the test set.
        label: The true class.
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
            bound=SIMULTANEOUS if certificate.bound == SIMULTANEOUS else None,
            count_b=certificate.count_b if certificate.bound == SIMULTANEOUS else None,
        ),
    )


def format_row(row: CertificationRow) -> str:
    """The row's line, without its newline."""
    values = [row.idx, row.label, row.predict, row.radius, int(row.correct), row.time]
    if row.provenance is not None:
        names = PROVENANCE_COLUMNS if row.provenance.bound is None else PROVENANCE_COLUMNS + BOUND_COLUMNS
        values += [getattr(row.provenance, name) for name in names]
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
    for names in (PROVENANCE_COLUMNS, BOUND_COLUMNS):
        missing = [name for name in names if name not in (reader.fieldnames or ())]
        if missing and len(missing) < len(names):
            raise LogError(f"{source} has some of the columns that record how a radius was found, but not {missing[0]}")
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
        _require_answers(row, row.provenance.stopping, row.provenance.radius_asked)
        _require_possible(row.radius, row.provenance)
    return row


def _require_answers(row: CertificationRow, stopping: str, radius_asked: float | None) -> None:
    """Raises ValueError if the row does not fit its rule: at-radius rows certify the requested radius or abstain."""
    if stopping not in RULES:
        raise ValueError(f"stopping is {stopping!r}, expected one of {', '.join(RULES)}")
    if stopping != AT_RADIUS:
        if radius_asked is not None:
            raise ValueError(f"radius_asked is {radius_asked}, but the rule is {stopping}")
    elif radius_asked is None:
        raise ValueError("an at-radius row has no radius_asked")
    elif row.predict != ABSTAIN and row.radius != radius_asked:
        raise ValueError(f"radius {row.radius} is neither the requested {radius_asked} nor an abstention")


def _require_possible(radius: float, provenance: Provenance) -> None:
    """Raises ValueError if the radius is larger than the row's own bound proves."""
    if not 0 <= provenance.count_a <= provenance.n or provenance.n < 1 or provenance.n0 < 0:
        counts = f"count_a is {provenance.count_a} of n {provenance.n} after n0 {provenance.n0}"
        raise ValueError(f"{counts}: expected 0 <= count_a <= n, n >= 1 and n0 >= 0")
    if provenance.p_a_lower is None:
        return
    if not 0 <= provenance.p_a_lower <= 1:
        raise ValueError(f"p_a_lower is {provenance.p_a_lower}, expected a probability")
    alpha = checked_alpha(provenance.alpha)
    require_noise(provenance.noise, sigma=checked_sigma(provenance.sigma))
    if provenance.stopping == FIXED and provenance.sigma > 0:
        most = clopper_pearson_lower(provenance.count_a, provenance.n, alpha)
        if provenance.p_a_lower > most * (1 + ROUNDING):
            raise ValueError(f"p_a_lower {provenance.p_a_lower} is above the {most} that the counts prove")
    if provenance.bound is not None or provenance.count_b is not None:
        _require_possible_simultaneously(radius, provenance, alpha)
        return
    certifies = 0.5 < provenance.p_a_lower < 1
    proved = certified_radius(provenance.p_a_lower, provenance.sigma) if certifies else 0.0
    if radius > proved:
        raise ValueError(f"radius {radius} is above {proved}, the radius that p_a_lower {provenance.p_a_lower} proves")


def _require_possible_simultaneously(radius: float, provenance: Provenance, alpha: float) -> None:
    count_b = provenance.count_b
    if provenance.bound != SIMULTANEOUS or provenance.stopping != FIXED or count_b is None:
        raise ValueError(
            f"bound is {provenance.bound}, count_b {count_b} and stopping {provenance.stopping}: apart from the "
            f"rules' usual bounds, only {SIMULTANEOUS} with a count_b and the rule {FIXED} is known"
        )
    if not 0 <= count_b <= provenance.n - provenance.count_a:
        raise ValueError(f"count_b is {count_b}, which does not fit count_a {provenance.count_a} of n {provenance.n}")
    most = provenance.proof_by_counts(alpha=alpha)
    if provenance.p_a_lower > most.p_a_lower * (1 + ROUNDING):
        raise ValueError(f"p_a_lower {provenance.p_a_lower} is above the {most.p_a_lower} that the counts prove")
    proved = most.radius or 0.0
    if radius > proved * (1 + ROUNDING) + ROUNDING:
        raise ValueError(f"radius {radius} is above {proved}, the radius that the counts prove")


def _parse_provenance(values: dict[str, str]) -> Provenance:
    return Provenance(
        count_a=int(values["count_a"]),
        n=int(values["n"]),
        n0=int(values["n0"]),
        alpha=float(values["alpha"]),
        sigma=float(values["sigma"]),
        p_a_lower=float(values["p_a_lower"]) if values["p_a_lower"] else None,
        stopping=values["stopping"],
        radius_asked=float(values["radius_asked"]) if values["radius_asked"] else None,
        noise=values["noise"],
        backend=values["backend"],
        seed=int(values["seed"]),
        bound=cast("Literal['simultaneous'] | None", values.get("bound") or None),  # _require_possible checks it
        count_b=int(values["count_b"]) if values.get("count_b") else None,
    )


def _require_distinct(rows: Sequence[CertificationRow], source: str) -> None:
    seen: set[int] = set()
    for row in rows:
        if row.idx in seen:
            raise LogError(f"{source} contains image {row.idx} twice")
        seen.add(row.idx)
