"""Do a checkpoint's numbers follow from its own rows, and does its card say what its config says?"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from zoo.cards import render_card
from zoo.errors import LogError
from zoo.models.layout import CARD, CURVE, ROWS
from zoo.models.measurements import CertificationResult, EmpiricalResult
from zoo.models.spec import ModelSpec
from zoo.results.contradictions import contradictions
from zoo.results.figure import curve_png, drawing_software
from zoo.results.log import CertificationRow, read_log
from zoo.results.summary import Interval, binomial_interval
from zoo.verification.integrity import Check
from zoo.verification.recomputation import CLOSE, recomputation_faults

MOST_NAMED = 5
# A share of the picture's pixels: a curve that lies elsewhere changes more of them, another processor's rounding fewer.
MOST_OTHER_PIXELS = 0.0005


def check_rows(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> tuple[Check, list[CertificationRow]]:
    """Every row's bound and radius follow from its counts; with the rows, none where they cannot be believed."""
    name, claim = "rows", spec.certified.certification
    if ROWS not in hashes:
        missing = () if claim is None else (f"{CARD} claims certified numbers, but there is no {ROWS} behind them",)
        return Check(name=name, note=f"there is no {ROWS}", findings=missing, is_unchecked=True), []
    try:
        rows = read_log(directory / ROWS)
    except LogError as error:
        return Check(name=name, note=ROWS, findings=(str(error),)), []
    faults = recomputation_faults(rows, num_values=3 * spec.preprocessing.crop**2)
    more = [] if len(faults) <= MOST_NAMED else [f"and {len(faults) - MOST_NAMED} other rows"]
    note = f"bound and radius of {len(rows)} rows, computed again from their counts"
    return Check(name=name, note=note, findings=(*faults[:MOST_NAMED], *more)), rows


def check_numbers(claim: CertificationResult | None, rows: list[CertificationRow]) -> Check:
    """Every certified number of the config is the one that the rows give."""
    name = "numbers"
    if claim is None:
        findings = (f"{ROWS} is there, and no number is claimed from it",) if rows else ()
        return Check(name=name, note="no certified number is claimed", findings=findings, is_unchecked=True)
    if not rows:
        return Check(name=name, note="the rows cannot be read", is_unchecked=True)
    note = f"{len(claim.certified_accuracy)} certified accuracies, ACR, abstention and what they depend on"
    return Check(name=name, note=note, findings=tuple(contradictions(claim, rows, labels=None)))


def check_empirical(result: EmpiricalResult | None) -> Check:
    """Numbers that have no rows behind them: only what they say of each other can be looked at."""
    name = "empirical"
    if result is None:
        return Check(name=name, note="nothing was evaluated", is_unchecked=True)
    results = (result, result.smoothed) if result.smoothed is not None else (result,)
    findings = tuple(finding for one in results for finding in _of_shares(one))
    note = "no rows are kept of them, so nothing but their intervals can be computed again: zoo evaluate measures anew"
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
            yield f"{name} {share} is no share of {result.num_images} images"
        elif interval is not None and not _are_close(interval, binomial_interval(round(count), result.num_images)):
            yield f"interval of the {name}: {interval}, and {share} of {result.num_images} images has another"
    if result.classifier == "base" and (result.robust_accuracy or 0) > result.standard_accuracy:
        yield f"robust accuracy {result.robust_accuracy} is above the standard accuracy {result.standard_accuracy}"


def _are_close(one: Interval, other: Interval) -> bool:
    return all(abs(a - b) <= CLOSE for a, b in zip(one, other, strict=True))


def check_card(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The card is, to the byte, the one that this version renders from the config and the hashes of the files."""
    note = f"{CARD} is the one that config.json and the files render to"
    if CARD not in hashes:
        return Check(name="card", note=note, findings=(f"there is no {CARD}",))
    said = (directory / CARD).read_text(errors="replace").splitlines()
    expected = render_card(spec, files=hashes).splitlines()
    differing = list(_differences(said, expected))
    if not differing:
        return Check(name="card", note=note)
    hint = "if an older version wrote it, zoo card MODEL --record writes it anew"
    more = [] if len(differing) <= MOST_NAMED else [f"and {len(differing) - MOST_NAMED} other places"]
    return Check(name="card", note=f"{note}; {hint}", findings=(*differing[:MOST_NAMED], *more))


def _differences(said: list[str], expected: list[str]) -> Iterator[str]:
    for kind, a, b, c, d in SequenceMatcher(None, said, expected, autojunk=False).get_opcodes():
        if kind != "equal":
            here, there = (" / ".join(line.strip() for line in part)[:300] for part in (said[a:b], expected[c:d]))
            yield f"{CARD}, line {a + 1}: says {here!r}, expected {there!r}"


def check_curve(directory: Path, spec: ModelSpec, hashes: Mapping[str, str], rows: list[CertificationRow]) -> Check:
    """The picture shows what drawing the rows again shows, where the same version of matplotlib is at hand."""
    name, picture = "curve", directory / CURVE
    if CURVE not in hashes:
        return Check(name=name, note="there is no picture", is_unchecked=True)
    if not rows:
        return Check(
            name=name, note=f"{CURVE} has no rows", findings=(f"{CURVE} is there, but no rows to draw it from",)
        )
    again = curve_png((directory / ROWS).read_bytes(), name=spec.name)
    made_by, ours = drawing_software(picture.read_bytes()), drawing_software(again)
    if made_by != ours:
        note = f"it says it was drawn by {made_by or 'nothing known'}, and here is {ours}: look at it beside the table"
        return Check(name=name, note=note, is_unchecked=True)
    share = _share_of_other_pixels(picture.read_bytes(), again)
    findings = () if share <= MOST_OTHER_PIXELS else (f"{CURVE} is not what the rows give: {share:.1%} is otherwise",)
    return Check(name=name, note=f"{CURVE} drawn again from the rows", findings=findings)


def _share_of_other_pixels(one: bytes, other: bytes) -> float:
    from PIL import Image, UnidentifiedImageError

    try:
        pixels, expected = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int) for data in (one, other))
    except (UnidentifiedImageError, OSError, SyntaxError):
        return 1.0
    if pixels.shape != expected.shape:
        return 1.0
    return float((np.abs(pixels - expected).max(axis=2) > 32).mean())
