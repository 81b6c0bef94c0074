"""python -m examples.network_check --output DIR: runs the checks that need a network; run again to resume."""

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
from zoo.errors import InterruptionError, RequestError, UnknownNameError
from zoo.models.catalog import CATALOG, CatalogEntry, PackageFile

PARTS = ("catalog", "hub", "tasks")
HUB_CACHE = "hub"
RETRY = replace(DOWNLOAD_RETRY, max_retries=2, max_wait=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """The subjects of the check: catalog entries by id, cited pages by id, and addresses by task, or why none."""

    entries: Mapping[str, CatalogEntry]
    cited: Mapping[str, Cited]
    addresses: Mapping[str, tuple[str, ...] | str]


def published() -> Subjects:
    """The subjects that the project publishes."""
    from examples.network_check.task_check import task_addresses

    # The file of a package is not fetched by the product, and the tests import it.
    entries = {id: entry for id, entry in CATALOG.items() if not isinstance(entry.file, PackageFile)}
    pages = {id: cited(entry) for id, entry in entries.items()}
    return Subjects(entries=entries, cited=pages, addresses=task_addresses())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.network_check",
        description="Checks the catalog's files, the Hub and the tasks' downloads over the network. Exit code 1 if a "
        "check failed, has a finding or did not finish, 2 for invalid options.",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="directory of the record and the downloads"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="parts to run; default: all")
    parser.add_argument("--only", nargs="+", metavar="ID", help="catalog entries to check; default: all")
    parser.add_argument(
        "--downloads",
        choices=("discard", "keep", "none"),
        default="discard",
        help="files of the catalog: delete each after its checks (the default), keep them in DIR, or only report the "
        "size of the downloads",
    )
    parser.add_argument("--seconds", type=float, default=3600.0, help="time limit of the run (%(default)g)")
    return parser


def main(words: Sequence[str] | None = None, *, subjects: Subjects | None = None, tries: Retrier | None = None) -> int:
    """Runs the checks that the arguments select; returns the exit code.

    Tests pass `subjects` to replace the published addresses, and `tries` to avoid waiting.
    """
    arguments = parser().parse_args(words)
    # Set before the import of huggingface_hub, which reads it once. The check must only delete its own files.
    os.environ["HF_HUB_CACHE"] = str((arguments.output / HUB_CACHE).absolute())
    try:
        if not 0 < arguments.seconds < float("inf"):
            raise RequestError(f"--seconds is {arguments.seconds:g}, expected a number of seconds above 0")
        subjects = subjects or published()
        entries = _chosen(subjects.entries, arguments.only)
        record = Record(arguments.output, budget=Budget(arguments.seconds))
    except RequestError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    retrier = tries or Retrier(policy=RETRY, report=lambda line: print(f"{'':10} {line}"))
    try:
        _run(arguments, record, subjects, entries, retrier)
    except KeyboardInterrupt:
        say("Interrupted: run the check again to resume")
        summarize(record)
        return InterruptionError.exit_code
    except OSError as error:  # from writing the record; errors of steps are in the record
        say(f"Cannot write {record.path}: {error.strerror or error}")
        return 1
    return summarize(record)


def _run(
    arguments: argparse.Namespace,
    record: Record,
    subjects: Subjects,
    entries: Mapping[str, CatalogEntry],
    retrier: Retrier,
) -> None:
    """Runs the parts, quick ones first."""
    from examples.network_check.catalog_check import CatalogCheck
    from examples.network_check.hub_check import check_hub
    from examples.network_check.task_check import check_tasks

    if "tasks" in arguments.parts:
        say("Headers of the tasks' download addresses")
        check_tasks(record, subjects.addresses, retrier=retrier)
    if "hub" in arguments.parts:
        say("A private repository on the Hub")
        check_hub(record, folder=arguments.output / "private", retrier=retrier)
    if "catalog" in arguments.parts:
        say(f"The catalog: {len(entries)} entries")
        CatalogCheck(
            record=record,
            entries=entries,
            cited=subjects.cited,
            weights=arguments.output / "weights",
            hub_cache=arguments.output / HUB_CACHE,
            downloads=arguments.downloads,
            retrier=retrier,
        ).run()


def _chosen(entries: Mapping[str, CatalogEntry], only: Sequence[str] | None) -> Mapping[str, CatalogEntry]:
    for id in only or ():
        if id not in entries:
            raise UnknownNameError("catalog id", id, entries)
    return {id: entries[id] for id in only} if only else entries


def summarize(record: Record) -> int:
    """Prints the outcomes of this run's steps, with a line for each that did not pass; returns the exit code."""
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
        print(f"{'unfinished':10} {len(record.not_begun)} steps not started: the limit of {seconds:g} s was reached")
    for repository in record.left_behind:
        print(f"{'':10} {repository} is still on the Hub: run this check again, or run `hf repos delete {repository}`")
    print(f"recorded in {record.path}")
    return 1 if record.left_behind or any(step.outcome in NOT_GOOD for step in steps.values()) else 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # SIGTERM must also remove the private repository
    sys.exit(main())
