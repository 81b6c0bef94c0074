"""Runs the mutants: `python -m tests.mutation [MODULE...]`, each against the tests that run the changed function.

One process imports the tests. Each mutant runs in a fork of it. The verdicts are kept in runs/mutation/, so that a run
that was stopped continues. Mutants that survived run again, because the tests may have changed, unless they are listed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.session import MutationSession

MODULES = tuple(
    Path("zoo", *name.split("/"))
    for name in (
        "smoothing/bounds.py",
        "smoothing/radius.py",
        "smoothing/tangent_bets.py",
        "smoothing/confidence_sequence.py",
        "smoothing/stopping/rule.py",
        "smoothing/stopping/fixed_sample.py",
        "smoothing/stopping/at_radius.py",
        "smoothing/stopping/anytime.py",
        "smoothing/stopping/forecast.py",
        "smoothing/jobs/job.py",
        "smoothing/jobs/certification.py",
        "smoothing/jobs/prediction.py",
        "smoothing/jobs/label_set.py",
        "smoothing/family.py",
        "smoothing/conformal.py",
        "smoothing/label_set.py",
        "smoothing/vote_counts.py",
        "smoothing/certificate.py",
        "smoothing/prediction.py",
        "smoothing/discrete.py",
        "smoothing/noise.py",
        "results/log.py",
        "results/row.py",
        "results/possible_row.py",
        "verification/recomputation.py",
    )
)
TESTS = (
    *(
        f"tests/zoo/smoothing/test_{name}.py"
        for name in (
            "bounds",
            "radius",
            "tangent_bets",
            "confidence_sequence",
            "stopping",
            "jobs",
            "vote_counts",
            "certificate",
            "prediction",
            "discrete",
            "named_rules",
            "noise",
            "engine",
            "family",
            "conformal",
            "label_set",
        )
    ),
    "tests/zoo/results/test_log.py",
    "tests/zoo/verification/test_verify.py",
    "tests/zoo/verification/test_recomputation.py",
)
VERDICTS = Path("runs/mutation/verdicts.tsv")
# Mutants that survive and change no claim: one per line, its key, a tab, and the reason.
HARMLESS = Path(__file__).with_name("harmless.tsv")
SURVIVED = "survived"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="part of a path, such as radius.py; default: all")
    parser.add_argument("--processes", type=int, default=2, help="mutants that run at the same time")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no mutant after this time")
    arguments = parser.parse_args()
    paths = [path for path in MODULES if not arguments.modules or any(part in str(path) for part in arguments.modules)]
    verdicts = _kept_verdicts()
    mutants = [mutant for path in paths for mutant in mutants_of(path)]
    reasons = dict(line.split("\t") for line in HARMLESS.read_text().splitlines())
    is_settled = {
        name for name, verdict in verdicts.items() if verdict != SURVIVED or name.rpartition(" [")[0] in reasons
    }
    open_mutants = [mutant for mutant in mutants if _name(mutant) not in is_settled]
    print(f"{len(mutants)} mutants, {len(open_mutants)} to run", flush=True)
    session = MutationSession(list(MODULES), processes=arguments.processes, deadline=time.time() + arguments.seconds)
    VERDICTS.parent.mkdir(parents=True, exist_ok=True)
    with VERDICTS.open("a") as file:

        def record(mutant: Mutant, verdict: str) -> None:
            verdicts[_name(mutant)] = verdict
            print(_name(mutant), verdict, sep="\t", file=file, flush=True)

        code = session.run(open_mutants, tests=TESTS, record=record) if open_mutants and arguments.seconds > 0 else 0
    if code:
        return code
    return _report(mutants, verdicts, reasons)


def _kept_verdicts() -> dict[str, str]:
    """The last verdict on each mutant, by name."""
    return dict(line.rsplit("\t", 1) for line in VERDICTS.read_text().splitlines()) if VERDICTS.exists() else {}


def _name(mutant: Mutant) -> str:
    return f"{mutant.key} [{mutant.function_hash}]"


def _report(mutants: list[Mutant], verdicts: dict[str, str], reasons: dict[str, str]) -> int:
    """Prints the figures per module and what is wrong, and returns 1 if anything is.

    Survivors without a reason are wrong, and reasons for mutants that do not exist or did not survive.
    """
    tables: dict[Path, Counter[str]] = {mutant.path: Counter() for mutant in mutants}
    unexplained = []
    for mutant in mutants:
        verdict = verdicts.get(_name(mutant), "not run")
        if verdict == SURVIVED and mutant.key in reasons:
            verdict = "harmless"
        tables[mutant.path][verdict] += 1
        if verdict == SURVIVED:
            unexplained.append(mutant)
    for mutant in unexplained:
        print(f"{mutant.path}:{mutant.line} {mutant.key}")
    keys = {mutant.key for mutant in mutants if verdicts.get(_name(mutant), SURVIVED) == SURVIVED}
    paths = tuple(f"{path}:" for path in tables)
    outdated = [key for key in reasons if key.startswith(paths) and key not in keys]
    for key in outdated:
        print(f"{HARMLESS.name} lists a mutant that does not exist or did not survive: {key}")
    columns = ("killed", "timed out", "harmless", SURVIVED, "not run")
    print("\t".join(("module", "mutants", *columns)))
    for path, counts in [*tables.items(), ("all", sum(tables.values(), Counter()))]:
        print("\t".join(str(value) for value in (path, counts.total(), *(counts[column] for column in columns))))
    return int(bool(unexplained or outdated))


if __name__ == "__main__":
    sys.exit(main())
