"""python -m examples.network_check --output DIR: checks what only a network can show; run again to go on."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from examples.network_check.budget import Budget
from examples.network_check.pages import Cited, cited
from examples.network_check.record import NOT_GOOD, Record
from examples.running import say
from zoo.download.retry import DOWNLOAD_RETRY, Retrier
from zoo.errors import RequestError, UnknownNameError
from zoo.models.catalog import CATALOG, CatalogEntry

PARTS = ("catalog", "hub", "tasks")
HUB_CACHE = "hub"
RETRY = replace(DOWNLOAD_RETRY, max_retries=2, max_wait=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """What is checked: entries of the catalog by id, the pages that each cites, and addresses (or why none) by task."""

    entries: Mapping[str, CatalogEntry]
    cited: Mapping[str, Cited]
    addresses: Mapping[str, tuple[str, ...] | str]


def published() -> Subjects:
    """What the project publishes."""
    from examples.network_check.task_check import task_addresses

    pages = {id: cited(entry) for id, entry in CATALOG.items()}
    return Subjects(entries=CATALOG, cited=pages, addresses=task_addresses())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.network_check",
        description="Checks the catalog's files, the Hub and the tasks' downloads over the network. Ends with code 1 "
        "if a check failed, found something or was not finished, 2 for a wrong request.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the record and the downloads")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="all if left out")
    parser.add_argument("--only", nargs="+", metavar="ID", help="these entries of the catalog; all if left out")
    parser.add_argument(
        "--downloads",
        choices=("discard", "keep", "none"),
        default="discard",
        help="of the catalog: discard each once it was checked (the default), keep them in DIR, or only say how much "
        "would be downloaded",
    )
    parser.add_argument("--seconds", type=float, default=3600.0, help="the longest that the run may take (%(default)g)")
    return parser


def main(words: Sequence[str] | None = None, *, subjects: Subjects | None = None, tries: Retrier | None = None) -> int:
    """Runs the checks that the words ask for; returns the exit code.

    `subjects` and `tries` are what a rehearsal puts in the place of the published addresses and of waiting.
    """
    asked = parser().parse_args(words)
    # Before huggingface_hub is imported, which reads it once: what is discarded must be nobody else's.
    os.environ["HF_HUB_CACHE"] = str((asked.output / HUB_CACHE).absolute())
    try:
        if not 0 < asked.seconds < float("inf"):
            raise RequestError(f"--seconds is {asked.seconds:g}, expected a number of seconds above 0")
        subjects = subjects or published()
        entries = _chosen(subjects.entries, asked.only)
        record = Record(asked.output, budget=Budget(asked.seconds))
    except RequestError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    retrier = tries or Retrier(policy=RETRY, report=lambda line: print(f"{'':10} {line}"))
    try:
        _run(asked, record, subjects, entries, retrier)
    except KeyboardInterrupt:
        say("Interrupted: run it again to go on")
    except OSError as error:  # of the record itself: what a step raises is in the record
        say(f"Cannot write {record.path}: {error.strerror or error}")
        return 1
    return summarize(record)


def _run(
    asked: argparse.Namespace,
    record: Record,
    subjects: Subjects,
    entries: Mapping[str, CatalogEntry],
    retrier: Retrier,
) -> None:
    """The parts, the quick ones first."""
    from examples.network_check.catalog_check import CatalogCheck
    from examples.network_check.hub_check import check_hub
    from examples.network_check.task_check import check_tasks

    if "tasks" in asked.parts:
        say("The tasks' download addresses, asked for their headers")
        check_tasks(record, subjects.addresses, retrier=retrier)
    if "hub" in asked.parts:
        say("A private repository on the Hub")
        check_hub(record, folder=asked.output / "private", retrier=retrier)
    if "catalog" in asked.parts:
        say(f"The catalog: {len(entries)} entries")
        CatalogCheck(
            record=record,
            entries=entries,
            cited=subjects.cited,
            weights=asked.output / "weights",
            hub_cache=asked.output / HUB_CACHE,
            downloads=asked.downloads,
            retrier=retrier,
        ).run()


def _chosen(entries: Mapping[str, CatalogEntry], only: Sequence[str] | None) -> Mapping[str, CatalogEntry]:
    for id in only or ():
        if id not in entries:
            raise UnknownNameError("catalog id", id, entries)
    return {id: entries[id] for id in only} if only else entries


def summarize(record: Record) -> int:
    """Prints what came of the steps of this run, those that did not pass one by one; returns the exit code."""
    steps = {name: record.steps[name] for name in dict.fromkeys(record.ran)}
    say("Summary")
    for part in dict.fromkeys(name.partition("/")[0] for name in steps):
        counts = Counter(step.outcome for name, step in steps.items() if name.partition("/")[0] == part)
        print(f"{part:10} {', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))}")
    for name, step in steps.items():
        if step.outcome != "passed" and name not in record.not_begun:
            print(f"{step.outcome:10} {name}: {step.sentence}")
    if record.not_begun:
        seconds = record.budget.seconds
        print(f"{'unfinished':10} {len(record.not_begun)} steps not begun: the {seconds:g} s of this run were spent")
    for repository in record.left_behind:
        print(f"{'':10} {repository} is still on the Hub: run this again, or type `hf repos delete {repository}`")
    print(f"recorded in {record.path}")
    return 1 if record.left_behind or any(step.outcome in NOT_GOOD for step in steps.values()) else 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # a private repository is removed then too
    sys.exit(main())
