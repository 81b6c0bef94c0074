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
from dataclasses import dataclass, fields
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import cast

from zoo.errors import CertificationError, LogError
from zoo.smoothing.arguments import checked_alpha, checked_sigma
from zoo.smoothing.certificate import Certificate
from zoo.smoothing.named_rules import AT_RADIUS, BOUNDS, FIXED, RULES, TANGENT_BETS, UNNAMED_BOUND
from zoo.smoothing.noise import require_noise
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import SIMULTANEOUS, Bound, FixedSample, Proof, Tally

PUBLISHED_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
ABSTAIN = -1
# The last digits of a bound may differ between machines and library versions.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a row's radius was found. Published logs do not record it.

    `n` is the number of draws made. Of these, `count_a` voted for the selected class, `count_b` for the most frequent
    other class and `count_label` for the image's true class. `p_a_lower` and `p_b_upper` bound the probabilities of the
    selected class and of every other class; None if `bound` is a test that bounds neither, or assigns all remaining
    probability to the other classes. Logs of earlier versions do not record `count_b` and `count_label`: None.
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
    bound: str
    count_b: int | None = None
    p_b_upper: float | None = None
    count_label: int | None = None

    def proof_by_counts(self, *, alpha: float) -> Proof:
        """The proof that the counts give under the rule "fixed", with error probability `alpha` left for the bound."""
        rule = FixedSample(self.n, bound=cast("Bound", self.bound))  # it checks its bound
        tally = Tally(count_a=self.count_a, count_b=self.count_b or 0, n=self.n)
        return rule.prove(tally, p_a_lower=0.0, sigma=self.sigma, alpha=alpha)


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
        _require_answers(row, row.provenance.stopping, row.provenance.radius_asked)
        _require_counts(row, row.provenance)
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


def _require_counts(row: CertificationRow, provenance: Provenance) -> None:
    """Raises ValueError if no votes can give these counts."""
    if not 0 <= provenance.count_a <= provenance.n or provenance.n < 1 or provenance.n0 < 0:
        counts = f"count_a is {provenance.count_a} of n {provenance.n} after n0 {provenance.n0}"
        raise ValueError(f"{counts}: expected 0 <= count_a <= n, n >= 1 and n0 >= 0")
    count_a, count_b, count_label = provenance.count_a, provenance.count_b, provenance.count_label
    num_others = provenance.n - count_a
    if count_b is None:
        if count_label is not None:
            raise ValueError(f"count_label is {count_label}, but the row has no count_b")
        return
    if not min(1, num_others) <= count_b <= num_others:
        raise ValueError(f"count_b is {count_b}, which does not fit count_a {count_a} of n {provenance.n}")
    if count_label is None:
        return
    is_selected = row.correct or (row.predict == ABSTAIN and count_label == count_a)
    if count_label < 0 or (count_label != count_a if is_selected else count_label > count_b):
        raise ValueError(
            f"count_label is {count_label}, which does not fit label {row.label}, predict {row.predict}, "
            f"count_a {count_a} and count_b {count_b}"
        )


def _require_possible(radius: float, provenance: Provenance) -> None:
    """Raises ValueError if a bound or the radius claims more than the row proves."""
    alpha = checked_alpha(provenance.alpha)
    require_noise(provenance.noise, sigma=checked_sigma(provenance.sigma))
    _require_bound(provenance)
    if provenance.bound == TANGENT_BETS:
        return  # a test of the counts themselves, which claims no bound of a probability
    if provenance.p_a_lower is None or not 0 <= provenance.p_a_lower <= 1:
        raise ValueError(f"p_a_lower is {provenance.p_a_lower}, expected a probability")
    p_b_upper = provenance.p_b_upper
    if provenance.stopping == FIXED and provenance.sigma > 0:
        proof = provenance.proof_by_counts(alpha=alpha)
        _require_proved(provenance, proof)
        p_b_upper = proof.p_b_upper if p_b_upper is None else p_b_upper  # earlier versions did not record it
    proved = _radius_of_bounds(provenance.p_a_lower, p_b_upper, provenance.sigma)
    if radius > proved * (1 + ROUNDING):
        bounds = f"p_a_lower {provenance.p_a_lower}"
        bounds += "" if p_b_upper is None else f" and p_b_upper {p_b_upper}"
        raise ValueError(f"radius {radius} is above {proved}, the radius that {bounds} prove")


def _require_bound(provenance: Provenance) -> None:
    """Raises ValueError if the rule does not have the bound, or the row has not what the bound uses."""
    bound, stopping, count_b = provenance.bound, provenance.stopping, provenance.count_b
    if bound not in BOUNDS[stopping]:
        raise ValueError(f"bound is {bound}, expected one of {', '.join(BOUNDS[stopping])} under the rule {stopping}")
    if count_b is None and bound in (SIMULTANEOUS, TANGENT_BETS):
        raise ValueError(f"count_b is missing, which the bound {bound} uses")
    if provenance.p_b_upper is not None and bound != SIMULTANEOUS:
        raise ValueError(f"p_b_upper is {provenance.p_b_upper}, but the bound {bound} has none")


def _require_proved(provenance: Provenance, proof: Proof) -> None:
    """Raises ValueError if a bound of a row of the rule "fixed" is better than the counts prove."""
    assert provenance.p_a_lower is not None and proof.p_a_lower is not None
    if provenance.p_a_lower > proof.p_a_lower * (1 + ROUNDING):
        raise ValueError(f"p_a_lower {provenance.p_a_lower} is above the {proof.p_a_lower} that the counts prove")
    if proof.p_b_upper is None or provenance.p_b_upper is None:
        return
    if not proof.p_b_upper * (1 - ROUNDING) <= provenance.p_b_upper <= 1:
        raise ValueError(f"p_b_upper is {provenance.p_b_upper}, but the counts prove no less than {proof.p_b_upper}")


def _radius_of_bounds(p_a_lower: float, p_b_upper: float | None, sigma: float) -> float:
    """The radius that the bounds prove; 0 if they prove none."""
    if p_b_upper is None:
        return certified_radius(p_a_lower, sigma) if 0.5 < p_a_lower < 1 else 0.0
    return certified_radius(p_a_lower, sigma, p_b_upper=p_b_upper) if 0 < p_b_upper < p_a_lower < 1 else 0.0


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
