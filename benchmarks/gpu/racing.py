"""Races contenders in turn, so that the machine's drift affects all alike; ratios are taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import synchronize
from zoo.smoothing.backends import arithmetic


@dataclass(frozen=True, slots=True)
class Contender:
    """A contender: `rate` makes one run and returns its items per second; `precision` is float32, tf32 or bfloat16."""

    precision: str
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
    """Runs all contenders in turn for several rounds after a warm-up round, and records a row for each.

    A contender that fails is left out of further rounds. The race ends early when the time is up.

    Args:
        contenders: The contenders by name.
        settings: The number of rounds and the time limit.
        findings: Receives the rows.
        title: The name of the rows in `findings`.
        share_of: The rate at each precision's peak, for the share of the peak.
    """
    rounds: list[dict[str, float]] = []
    running = dict(contenders)
    for number in range(settings.num_rounds + 1):
        rates: dict[str, float] = {}
        for name, contender in list(running.items()):
            products = "tf32" if contender.precision == "tf32" else "float32"
            with findings.part(name), arithmetic(products, settings.device.type):
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
    """The rates per second, ratio to the fastest reference of each round, and share of the peak of each contender."""
    references = [name for name, contender in contenders.items() if contender.is_reference]
    rows = {}
    for name, contender in contenders.items():
        own = [rates[name] for rates in rounds if name in rates]
        row = {"per second": statistics.median(own), "slowest": min(own), "fastest": max(own)}
        if references:
            ratios = [rates[name] / max(rates[reference] for reference in references) for rates in rounds]
            row["ratio to the fastest reference"] = round(statistics.median(ratios), 2)
        if share_of is not None:
            row["share of the peak"] = round(row["per second"] / share_of[contender.precision], 3)
        rows[name] = row
    return rows
