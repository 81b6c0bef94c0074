"""Sections that pass, fail, crash, hang or lack a package."""

import json
import os
import signal
import time

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.settings import Settings


def passes(settings: Settings, findings: Findings) -> None:
    findings["answer"] = 42


def fails(settings: Settings, findings: Findings) -> None:
    findings["found before"] = 1
    raise ValueError("the device is on fire")


def fails_in_a_part(settings: Settings, findings: Findings) -> None:
    with findings.part("first"):
        findings["first"] = 1 / 0
    with findings.part("second"):
        findings["second"] = 2


def lacks_a_package(settings: Settings, findings: Findings) -> None:
    import a_package_that_nobody_has  # noqa: F401


def lacks_a_module_of_ours(settings: Settings, findings: Findings) -> None:
    import zoo.a_module_that_was_renamed  # noqa: F401


def is_killed(settings: Settings, findings: Findings) -> None:
    with findings.part("before"):
        findings["found before"] = 1
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(settings: Settings, findings: Findings) -> None:
    with findings.part("before"):
        findings["found before"] = 1
    while True:
        time.sleep(1)


def reads_the_report(settings: Settings, findings: Findings) -> None:
    findings["report"] = json.loads((settings.output / "gpu.json").read_text())["sections"]


def spends_all_the_time(settings: Settings, findings: Findings) -> None:
    while settings.seconds_left > 0:
        time.sleep(0.01)
