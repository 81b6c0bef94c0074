"""A pytest session that runs mutants instead of its tests."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import hypothesis
import pytest

from tests.mutation.apply import apply, forget_cached_results, module_name
from tests.mutation.mutants import VALUES, Mutant
from zoo.smoothing.discrete import discrete_gaussian

# Where the times of the tests and the functions that they run are kept.
MEASURED = Path("runs/mutation/tests.tsv")
# A test that needs longer, in seconds of processor time, is not run against mutants: it is a simulation. A table of
# discrete noise, which each test makes anew while it is measured, takes a second, or two on a busy machine.
LONGEST_TEST = 5.0
# Tests with this fixture are not run either: it trains a network.
TRAINED = "digits_checkpoint"
# The tables of discrete noise that tests use: made once, except for mutants of their module.
USUAL_SIGMAS = (0.25, 0.5, 1.0)
# A mutant that makes a test this much longer has been noticed.
TIME_LIMIT_FACTOR, TIME_LIMIT_SECONDS = 10, 3.0
# For mutants that wait forever. It is long, because a busy machine must not make a mutant look noticed.
WALL_SECONDS = 1800
MEMORY_BYTES = 4 * 2**30
PASSED, FAILED = 0, 1


class MutationSession:
    """Collects the tests once, finds out which functions each of them runs, and then forks for each mutant."""

    def __init__(self, paths: list[Path], *, processes: int, deadline: float) -> None:
        self.paths, self.processes, self.deadline = paths, processes, deadline

    def run(self, mutants: list[Mutant], *, tests: tuple[str, ...], record: Callable[[Mutant, str], None]) -> int:
        """Runs the mutants until the deadline, and reports each verdict. Returns pytest's exit code."""
        self.mutants, self.record = mutants, record
        options = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu", "--capture=no"]
        return int(pytest.main([*options, *tests], plugins=[self]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # The same few examples for every mutant, and no search for the smallest failing one.
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutation",
            max_examples=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            print_blob=False,
        )
        hypothesis.settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items if TRAINED not in item.fixturenames}
        self.seconds, self.tests_of = self._measured()
        print(f"{len(self.seconds)} tests, {sum(self.seconds.values()):.0f} s of processor time", flush=True)
        for sigma in USUAL_SIGMAS:
            discrete_gaussian(sigma)
        gc.collect()
        gc.freeze()  # or each fork would copy all pages at its first collection
        self.num_killed: Counter[tuple[str, str]] = Counter()
        running: dict[int, tuple[Mutant, int]] = {}
        waiting = iter(self.mutants)
        while True:
            while len(running) < self.processes and time.time() < self.deadline and (mutant := next(waiting, None)):
                process, killer = self._forked(mutant)
                running[process] = mutant, killer
            if not running:
                return True
            process, status = os.wait()
            mutant, killer = running.pop(process)
            with os.fdopen(killer) as file:
                self.num_killed[mutant.function, file.read()] += 1
            self.record(mutant, _verdict(status))

    def _measured(self) -> tuple[dict[str, float], dict[tuple[str, str], list[str]]]:
        """The processor time of each quick test, and the tests that run each function.

        A process of its own runs the tests. What it finds is kept as long as neither the file of a test nor a module
        changes.
        """
        modules = _hash(*self.paths)
        names = {f"{name} [{_hash(Path(name.split('::')[0]))} {modules}]": name for name in self.items}
        known = {key for key, (seconds, _) in _kept_measurements().items() if seconds is not None}
        process = os.fork()
        if process == 0:
            signal.signal(signal.SIGPROF, _too_slow)
            MEASURED.parent.mkdir(parents=True, exist_ok=True)
            with MEASURED.open("a") as file:
                for key, name in names.items():
                    if key not in known:
                        print(key, json.dumps(self._measure(name)), sep="\t", file=file, flush=True)
            os._exit(PASSED)
        os.waitpid(process, 0)
        tests_of, all_seconds = defaultdict(list), {}
        for key, (seconds, functions) in _kept_measurements().items():
            if key in names and seconds is None:
                print(f"{names[key]} fails without a mutant and is left out", flush=True)
            elif key in names and seconds < LONGEST_TEST:
                all_seconds[names[key]] = seconds
                for function in functions:
                    tests_of[tuple(function)].append(names[key])
        return all_seconds, tests_of

    def _measure(self, name: str) -> tuple[float | None, list[tuple[str, str]]]:
        """The test's processor time, at most LONGEST_TEST, and the functions that it runs; None if it fails."""
        functions, sources = set(), {str(path.resolve()): str(path) for path in self.paths}

        def profile(frame: FrameType, event: str, argument: object) -> None:
            if event == "call" and frame.f_code.co_filename in sources:
                function = frame.f_code.co_qualname.split(".<locals>")[0]
                functions.add((sources[frame.f_code.co_filename], function))

        forget_cached_results(self.paths)
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LONGEST_TEST)
        sys.setprofile(profile)
        has_passed = self._passes(name)
        sys.setprofile(None)
        has_run_out = signal.setitimer(signal.ITIMER_PROF, 0)[0] == 0
        seconds = LONGEST_TEST if has_run_out else time.process_time() - start
        return seconds if has_passed or has_run_out else None, sorted(functions)

    def _passes(self, name: str) -> bool:
        self.has_failed = False
        item = self.items[name]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self.has_failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.has_failed |= report.failed

    def _tests_for(self, mutant: Mutant) -> list[str]:
        """The tests that run the function. If a value is changed, those that run a function of a module that has it.

        Tests that killed other mutants of the function come first, then the quickest.
        """
        is_value = mutant.function.endswith(VALUES)
        users = {str(path) for path in self.paths if is_value and module_name(mutant.path) in path.read_text()}
        tests = {
            name
            for (path, function), names in self.tests_of.items()
            if path in users or (path == str(mutant.path) and (is_value or function == mutant.function))
            for name in names
        }
        return sorted(tests, key=lambda name: (-self.num_killed[mutant.function, name], self.seconds[name]))

    def _forked(self, mutant: Mutant) -> tuple[int, int]:
        """Starts the process of a mutant. Returns its id and the pipe into which it writes the test that fails."""
        killer, to_parent = os.pipe()
        process = os.fork()
        if process:
            os.close(to_parent)
            return process, killer
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.alarm(WALL_SECONDS)
            in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES,) * 2)
            signal.setitimer(signal.ITIMER_PROF, TIME_LIMIT_SECONDS)
            forget_cached_results([mutant.path])
            apply(mutant)
            for name in self._tests_for(mutant):
                signal.setitimer(signal.ITIMER_PROF, TIME_LIMIT_SECONDS + TIME_LIMIT_FACTOR * self.seconds[name])
                if not self._passes(name):
                    os.write(to_parent, name.encode())
                    os._exit(FAILED)
            os._exit(PASSED)
        finally:
            os._exit(FAILED)


def _verdict(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "timed out" if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else "killed"
    return "survived" if os.WEXITSTATUS(status) == PASSED else "killed"


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"the test needs more than {LONGEST_TEST} s")


def _hash(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def _kept_measurements() -> dict[str, tuple[float | None, list[list[str]]]]:
    """The last measurement of each test, by its name and the hashes of its file and of the modules."""
    lines = MEASURED.read_text().splitlines() if MEASURED.exists() else []
    return {key: json.loads(measured) for key, measured in (line.split("\t") for line in lines)}
