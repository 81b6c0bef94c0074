"""Checks that a checkpoint's numbers follow from its rows, and that its card and figure follow from both."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from zoo.cards import render_card
from zoo.errors import CheckpointError, LogError
from zoo.models.identity import weights_sha256
from zoo.models.layout import CALIBRATION, CARD, CURVE, ROWS
from zoo.models.measurements import CertificationResult, EmpiricalResult
from zoo.models.spec import ModelSpec
from zoo.results.calibration import calibration_faults, contradicted_claims, parse_calibration
from zoo.results.contradictions import contradictions
from zoo.results.log import CertificationRow, read_log
from zoo.results.summary import Interval, binomial_interval
from zoo.verification.integrity import Check
from zoo.verification.recomputation import CLOSE, recomputation_faults

MOST_NAMED = 5
# A share of the figure's pixels: another curve changes more of them, the rounding of another processor fewer.
MOST_OTHER_PIXELS = 0.0005


def check_rows(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> tuple[Check, list[CertificationRow]]:
    """The check that every row's bound and radius follow from its counts, and the rows; no rows if none can be read."""
    name, claim = "rows", spec.certified.certification
    if ROWS not in hashes:
        missing = () if claim is None else (f"{CARD} claims certified numbers, but there is no {ROWS}",)
        return Check(name=name, note=f"there is no {ROWS}", findings=missing, is_unchecked=True), []
    try:
        rows = read_log(directory / ROWS)
    except LogError as error:
        return Check(name=name, note=ROWS, findings=(str(error),)), []
    num_values, max_n = 3 * spec.preprocessing.crop**2, None if claim is None else claim.n
    faults = recomputation_faults(rows, num_values=num_values, max_n=max_n)
    more = [] if len(faults) <= MOST_NAMED else [f"and {len(faults) - MOST_NAMED} other rows"]
    note = f"bound and radius of {len(rows)} rows, recomputed from their counts"
    return Check(name=name, note=note, findings=(*faults[:MOST_NAMED], *more)), rows


def check_numbers(claim: CertificationResult | None, rows: list[CertificationRow]) -> Check:
    """The check that every certified number of the config follows from the rows."""
    name = "numbers"
    if claim is None:
        findings = (f"there is a {ROWS}, but the config claims no numbers from it",) if rows else ()
        return Check(name=name, note="no certified number is claimed", findings=findings, is_unchecked=True)
    if not rows:
        return Check(name=name, note="the rows cannot be read", is_unchecked=True)
    note = f"{len(claim.certified_accuracy)} certified accuracies, ACR, abstention rate and their conditions"
    return Check(name=name, note=note, findings=tuple(contradictions(claim, rows, labels=None)))


def check_empirical(result: EmpiricalResult | None) -> Check:
    """The check of the evaluation, which keeps no rows: only the consistency of its numbers can be checked."""
    name = "empirical"
    if result is None:
        return Check(name=name, note="no evaluation is recorded", is_unchecked=True)
    results = (result, result.smoothed) if result.smoothed is not None else (result,)
    findings = tuple(finding for evaluated in results for finding in _of_shares(evaluated))
    note = "an evaluation keeps no rows, so only its intervals are recomputed; zoo evaluate measures the numbers again"
    return Check(name=name, note=note, findings=findings, is_unchecked=True)


def _of_shares(result: EmpiricalResult) -> Iterator[str]:
    shares: list[tuple[str, float, Interval | None]] = [
        ("standard accuracy", result.standard_accuracy, result.standard_accuracy_interval),
        *((f"accuracy under noise of {point.sigma:g}", point.accuracy, point.interval) for point in result.noise),
    ]
    if result.robust_accuracy is not None:
        shares.append(("robust accuracy", result.robust_accuracy, result.robust_accuracy_interval))
    for name, share, interval in shares:
        count = share * result.num_images
        if abs(count - round(count)) > CLOSE * result.num_images:
            yield f"{name} {share} is not a fraction of {result.num_images} images"
        elif interval is not None:
            expected = binomial_interval(round(count), result.num_images)
            if not _are_close(interval, expected):
                yield f"interval of the {name} is {interval}, but {share} of {result.num_images} images give {expected}"
    if result.classifier == "base" and (result.robust_accuracy or 0) > result.standard_accuracy:
        yield f"robust accuracy {result.robust_accuracy} is above the standard accuracy {result.standard_accuracy}"


def _are_close(claimed: Interval, expected: Interval) -> bool:
    return all(abs(a - b) <= CLOSE for a, b in zip(claimed, expected, strict=True))


def check_calibration(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The check that the calibration is of this network, and that its threshold and numbers follow from its scores.

    Only the network can confirm the scores: the same `zoo calibrate` command computes them again.
    """
    name, claim = "calibration", spec.certified.calibration
    if CALIBRATION not in hashes:
        missing = () if claim is None else (f"{CARD} claims label sets, but there is no {CALIBRATION}",)
        return Check(name=name, note=f"there is no {CALIBRATION}", findings=missing, is_unchecked=True)
    try:
        calibration = parse_calibration((directory / CALIBRATION).read_bytes(), source=CALIBRATION)
    except CheckpointError as error:
        return Check(name=name, note=CALIBRATION, findings=(str(error),))
    faults = calibration_faults(
        calibration, spec, weights_sha256=weights_sha256(hashes) if spec.network_file in hashes else "missing"
    )
    note = f"threshold recomputed from {len(calibration.scores)} scores; coverage and size from the sets' counts"
    return Check(name=name, note=note, findings=(*faults, *contradicted_claims(claim, calibration)))


def check_card(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The check that the card equals, byte for byte, the card rendered from the config and the hashes of the files."""
    note = f"{CARD} compared with the card rendered from config.json and the files"
    if CARD not in hashes:
        return Check(name="card", note=note, findings=(f"there is no {CARD}",))
    lines = (directory / CARD).read_text(errors="replace").splitlines()
    expected = render_card(spec, files=hashes).splitlines()
    differing = list(_differences(lines, expected))
    if not differing:
        return Check(name="card", note=note)
    hint = "if an older version wrote it, zoo card MODEL --record renders it again"
    more = [] if len(differing) <= MOST_NAMED else [f"and {len(differing) - MOST_NAMED} other places"]
    return Check(name="card", note=f"{note}; {hint}", findings=(*differing[:MOST_NAMED], *more))


def _differences(lines: list[str], expected: list[str]) -> Iterator[str]:
    for kind, a, b, c, d in SequenceMatcher(None, lines, expected, autojunk=False).get_opcodes():
        if kind != "equal":
            found, wanted = (" / ".join(line.strip() for line in part)[:300] for part in (lines[a:b], expected[c:d]))
            yield f"{CARD}, line {a + 1}: says {found!r}, expected {wanted!r}"


def check_curve(directory: Path, spec: ModelSpec, hashes: Mapping[str, str], rows: list[CertificationRow]) -> Check:
    """The check that the figure shows the rows; unchecked if another version of matplotlib drew the figure."""
    name, figure = "curve", directory / CURVE
    if CURVE not in hashes:
        return Check(name=name, note="there is no figure", is_unchecked=True)
    if not rows:
        return Check(
            name=name,
            note=f"{CURVE} has no rows",
            findings=(f"there is a {CURVE}, but there are no rows to draw it from",),
        )
    from zoo.results.figure import curve_png, drawing_software

    redrawn = curve_png((directory / ROWS).read_bytes(), name=spec.name)
    software, ours = drawing_software(figure.read_bytes()), drawing_software(redrawn)
    if software != ours:
        drawn_by = software or "an unknown program"
        note = f"{CURVE} was drawn by {drawn_by}, not by {ours} as installed here: compare the figure with the table"
        return Check(name=name, note=note, is_unchecked=True)
    share = _share_of_other_pixels(figure.read_bytes(), redrawn)
    findings = (
        () if share <= MOST_OTHER_PIXELS else (f"{CURVE} does not show the rows: {share:.1%} of its pixels differ",)
    )
    return Check(name=name, note=f"{CURVE} compared with the rows, drawn again", findings=findings)


def _share_of_other_pixels(figure: bytes, redrawn: bytes) -> float:
    from PIL import Image, UnidentifiedImageError

    if figure == redrawn:
        return 0.0
    try:
        pixels, expected = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int) for data in (figure, redrawn))
    except (UnidentifiedImageError, OSError, SyntaxError):
        return 1.0
    if pixels.shape != expected.shape:
        return 1.0
    return float((np.abs(pixels - expected).max(axis=2) > 32).mean())
