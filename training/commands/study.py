"""`zoo study`: the group of study commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli._errors import interruptible
from zoo.cli._help import HelpfulCommand
from zoo.cli._options import DATA_DIR, DataDir, Device, Engine, Json, RayAddress, Workers
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.study.execution import Shard
    from training.study.plan import Run

study = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

StudyOrFile = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Name of a built-in study (miniature, pictures, paper) or a study file (YAML)."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Folder of the runs; default: runs/NAME with the study's name."),
]


@study.callback()
def group() -> None:
    """Plan, run and collect a transfer study.

    zoo study summarize reads a table of results of any source.
    """


@study.command(cls=HelpfulCommand)
def plan(
    study_or_file: StudyOrFile, folder: Folder = None, data_dir: DataDir = DATA_DIR, as_json: Json = False
) -> None:
    """List the runs with starting point, state and duration, and missing data.

    A duration is estimated until the run is done.

    Example: zoo study plan miniature
    """
    from training.study.built_in import find_study
    from training.study.console_report import plan_as_json, plan_table, time_left_in_words
    from training.study.cost import estimated_seconds, why_unknown
    from training.study.data import study_data
    from training.study.folder import StudyFolder
    from training.study.plan import plan_runs
    from training.study.study_file import read_study
    from zoo.cli._console import PlainConsole

    described = read_study(find_study(study_or_file))
    runs, where = plan_runs(described), StudyFolder(folder or Path("runs") / described.name)
    states = {run.id: where.state(run) for run in runs}
    results = {run.id: result for run in runs if states[run.id] == "done" and (result := where.result(run)) is not None}
    data = study_data(runs, data_dir=data_dir)
    seconds = estimated_seconds(runs, results, described.speeds, data.labels)
    unknown = why_unknown(runs, seconds, results, described.speeds, data.labels)
    if as_json:
        left = plan_as_json(runs, states, seconds, machine=described.machine, missing=data.missing, unknown=unknown)
        echo(json.dumps(left, indent=2))
        return
    PlainConsole().print(plan_table(runs, states, seconds, unknown))
    echo(time_left_in_words(runs, states, seconds, machine=described.machine))
    for name, sentence in data.missing.items():
        echo(f"missing: {name}: {sentence}")


@study.command(cls=HelpfulCommand)
def run(
    study_or_file: StudyOrFile,
    folder: Folder = None,
    only: Annotated[
        str,
        typer.Option(
            "--only", metavar="I/N", help="Execute every N-th run from run I on: job I of an array of N jobs."
        ),
    ] = "1/1",
    run_id: Annotated[str | None, typer.Option("--run", metavar="ID", help="Execute only this run.")] = None,
    max_hours: Annotated[
        float | None, typer.Option("--max-hours", metavar="H", help="Start no run after this many hours.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also execute runs that failed before.")] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA_DIR,
    engine: Engine = "local",
    workers: Workers = None,
    ray_address: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Execute the missing runs one after another, pre-training first.

    Run the same command again to resume.

    Several processes may share one folder: each run is executed by one process only. With --engine ray, tasks of a Ray
    cluster execute several runs at a time; all its machines must see the folder and the data under the same paths.

    Example: zoo study run miniature --max-hours 8
    """
    from training.commands.engine import engine_workers
    from training.study.built_in import find_study
    from training.study.console_report import outcome_as_json, outcome_in_words
    from training.study.execution import Execution
    from training.study.folder import StudyFolder
    from training.study.plan import plan_runs
    from training.study.run import RunEnvironment
    from training.study.study_file import read_study
    from zoo.cli._console import PlainConsole
    from zoo.errors import ZooError

    described = read_study(find_study(study_or_file))
    runs, shard = plan_runs(described), _shard(only, retry_failed or run_id is not None, max_hours)
    execution = Execution(
        study=described.name,
        runs=runs,
        own=shard.runs_of(runs) if run_id is None else [_find(run_id, runs)],
        folder=StudyFolder(folder or Path("runs") / described.name),
        environment=RunEnvironment(device=device, data_dir=data_dir, console=PlainConsole(stderr=True)),
        shard=shard,
    )
    cluster = engine_workers(engine, num_workers=workers, address=ray_address, device=device)
    with interruptible(hint="finished runs are kept; run the same command to resume"), cluster as tasks:
        if tasks is None:
            outcome = execution.run()
        else:
            from training.study.workers import execute_on

            outcome = execute_on(tasks, execution)
    echo(json.dumps(outcome_as_json(outcome), indent=2) if as_json else outcome_in_words(outcome))
    if outcome.failed:
        raise ZooError(
            f"{len(outcome.failed)} runs failed: {', '.join(outcome.failed)}; the others are kept; "
            "--retry-failed executes the failed runs again"
        )


@study.command(cls=HelpfulCommand)
def collect(
    study_or_file: StudyOrFile,
    output: Annotated[Path, typer.Option("--output", metavar="DOCS", help="The folder to write into.")],
    folder: Folder = None,
) -> None:
    """Write tables, figures, answers to claims, and every finished result.

    One page has all of them.

    Example: zoo study collect miniature --output results
    """
    from training.study.built_in import find_study
    from training.study.collect import collect as collect_documents
    from training.study.evidence import gather
    from training.study.folder import RESULTS, StudyFolder
    from training.study.plan import plan_runs
    from training.study.study_file import read_study

    described = read_study(find_study(study_or_file))
    evidence = gather(plan_runs(described), StudyFolder(folder or Path("runs") / described.name))
    documents = collect_documents(described, evidence)
    documents.write(output)
    echo("\n".join(str(output / name) for name in documents.contents if not name.startswith(f"{RESULTS}/")))
    for sentence in documents.missing:
        echo(f"note: {sentence}", err=True)


@study.command(cls=HelpfulCommand)
def summarize(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE.csv", help="Columns: task, initialization, standard_accuracy and measures of robustness."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Print mean relative improvements over random weights, and their fits.

    The fits are lines through the improvements in robustness against those in accuracy, with their R^2.

    Example: zoo study summarize table4_empirical.csv
    """
    from training.study.console_report import as_json_object, fits_table, improvements_table
    from training.study.long_table import read_table
    from training.study.statistics import summarize_table
    from zoo.cli._console import PlainConsole

    summaries = summarize_table(read_table(table))
    if as_json:
        echo(json.dumps([as_json_object(summary) for summary in summaries], indent=2))
        return
    console = PlainConsole()
    console.print(improvements_table(summaries))
    console.print(fits_table(summaries))


def _shard(only: str, retries_failed: bool, max_hours: float | None) -> Shard:
    from training.study.execution import Shard
    from zoo.errors import RequestError

    number, _, of = only.partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise RequestError(f"--only must be I/N, such as 1/4, got {only!r}")
    return Shard(number=int(number), of=int(of), retries_failed=retries_failed, max_hours=max_hours)


def _find(run_id: str, runs: Sequence[Run]) -> Run:
    from zoo.errors import UnknownNameError

    for candidate in runs:
        if candidate.id == run_id:
            return candidate
    raise UnknownNameError("run", run_id, [candidate.id for candidate in runs])
