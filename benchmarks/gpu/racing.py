"""Contenders that take turns, so that all meet the same machine; ratios are taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import synchronize, tf32


@dataclass(frozen=True, slots=True)
class Contender:
    """`rate` makes one run and answers how many it did per second. `arithmetic` is float32, TF32 or bfloat16."""

    arithmetic: str
    rate: Callable[[], float]
    is_reference: bool = False


def race(
    contenders: Mapping[str, Contender],
    settings: Settings,
    findings: Findings,
    *,
    title: str,
    share_of: Mapping[str, float] | None = None,
) -> None:
    """Runs all contenders in turn, for some rounds after one that warms up, and writes a row for each.

    A ratio is to the fastest reference of its round. `share_of` is the rate by arithmetic that would be the whole peak.
    One that fails is left out from there on. Rounds end when the time does.
    """
    rounds: list[dict[str, float]] = []
    running = dict(contenders)
    for number in range(settings.num_rounds + 1):
        rates: dict[str, float] = {}
        for name, contender in list(running.items()):
            with findings.part(name), tf32(contender.arithmetic == "TF32"):
                synchronize(settings)
                rates[name] = contender.rate()
            if name not in rates:
                del running[name]
        if number > 0 or settings.num_rounds == 0:
            rounds.append(rates)
            findings[title] = rows_of(rounds, running, share_of)
        if rounds and settings.seconds_left < 0:
            break


def rows_of(
    rounds: list[dict[str, float]], contenders: Mapping[str, Contender], share_of: Mapping[str, float] | None
) -> dict[str, dict[str, float]]:
    """Median, slowest and fastest per second, ratio, share of the peak, of each contender that ran in all rounds."""
    references = [name for name, contender in contenders.items() if contender.is_reference]
    rows = {}
    for name, contender in contenders.items():
        found = [rates[name] for rates in rounds if name in rates]
        row = {"per second": statistics.median(found), "slowest": min(found), "fastest": max(found)}
        if references:
            ratios = [rates[name] / max(rates[each] for each in references) for rates in rounds]
            row["ratio to the fastest reference"] = round(statistics.median(ratios), 2)
        if share_of is not None:
            row["share of the peak"] = round(row["per second"] / share_of[contender.arithmetic], 3)
        rows[name] = row
    return rows
