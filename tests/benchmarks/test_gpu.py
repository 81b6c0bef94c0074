"""The GPU benchmark: it runs without a GPU, and a failing section does not affect the others."""

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import runner
from benchmarks.gpu.report import Report
from benchmarks.gpu.runner import run_sections
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.table import SECTIONS, Section

ROOT = Path(__file__).parents[2]
NEEDING_A_GPU = {"graphs", "memory", "tests", "torchserve", "autotuned"}


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """The output folder and the stdout of a tiny run on the CPU."""
    output = tmp_path_factory.mktemp("gpu")
    words = [sys.executable, "-m", "benchmarks.gpu", "--output", str(output), "--device", "cpu", "--tiny"]
    process = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=480, check=False)
    assert process.returncode == 0, process.stdout[-5000:] + process.stderr[-2000:]
    return output, process.stdout


@pytest.fixture
def outcomes(tiny_run):
    return json.loads((tiny_run[0] / "gpu.json").read_text())["sections"]


@pytest.mark.slow
def test_every_section_that_a_cpu_can_run_passes_and_the_others_say_what_they_need(outcomes):
    expected = {section.name: "skipped" if section.name in NEEDING_A_GPU else "passed" for section in SECTIONS}
    assert {name: outcome["status"] for name, outcome in outcomes.items()} == expected
    for name in NEEDING_A_GPU:
        assert outcomes[name]["skipped"] == {"": "it needs a GPU"}


@pytest.mark.slow
def test_no_section_comes_to_its_end_without_figures(outcomes):
    for name in outcomes.keys() - NEEDING_A_GPU:
        assert outcomes[name]["found"], name
    assert len(outcomes["objectives"]["found"]["one step"]) == 10
    differing = outcomes["packing"]["found"]["certificates that differ"]
    assert all(set(row.values()) == {0} for row in differing.values()) and set(differing) == {"float32", "bfloat16"}
    rates = outcomes["throughput"]["found"]["draws per second"]
    assert all(row["per second"] > 0 for row in rates.values())
    for start in ("published loop", "engine, float32", "engine, tf32", "engine, bfloat16", "network alone, float32"):
        assert any(name.startswith(start) for name in rates), start


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton, by whose interpreter the kernel runs on a CPU")
def test_the_fused_kernel_makes_the_pixels_that_the_product_makes(outcomes):
    assert outcomes["noise"]["found"]["fused kernel"]["difference of a pixel"] < 2e-6
    assert any("device loop" in name for name in outcomes["throughput"]["found"]["draws per second"])


@pytest.mark.slow
def test_the_summary_is_a_table_to_paste_and_nothing_else_is_left_behind(tiny_run):
    output, printed = tiny_run
    assert sorted(path.name for path in output.iterdir()) == ["gpu.json", "profile.txt", "summary.md"]
    summary = (output / "summary.md").read_text()
    assert summary in printed
    for section in SECTIONS:
        assert f"\n| {section.name} |" in summary
    assert "whose figures mean nothing" in summary


def section_of(name: str, *, seconds: float = 100.0, needs_cuda: bool = False) -> Section:
    """A section of `tests.benchmarks.sections`."""
    return Section(name=name, function=f"tests.benchmarks.sections:{name}", seconds=seconds, needs_cuda=needs_cuda)


def run(tmp_path, *sections: Section, **settings: object) -> dict:
    """The content of gpu.json after a run of the sections."""
    all_settings = Settings(output=tmp_path, caches=tmp_path, device_name="cpu", **settings)
    report = Report(tmp_path, {"begun": "now", "device": "cpu", "is_tiny": False})
    run_sections(sections, all_settings, report)
    report.summarize()
    return json.loads((tmp_path / "gpu.json").read_text())


def test_a_section_that_fails_leaves_the_others_their_results(tmp_path):
    sections = [section_of(name) for name in ("passes", "fails", "fails_in_a_part", "passes")]
    content = run(tmp_path, *sections)
    assert content["failed"] == ["fails", "fails_in_a_part"]
    outcomes = content["sections"]
    assert outcomes["passes"]["found"] == {"answer": 42}
    assert outcomes["fails"]["found"] == {"found before": 1}
    assert "sections.py" in outcomes["fails"]["failures"][""]
    assert outcomes["fails"]["failures"][""].endswith("ValueError: the device is on fire\n")
    assert "ZeroDivisionError" in outcomes["fails_in_a_part"]["failures"]["first"]
    assert outcomes["fails_in_a_part"]["found"] == {"second": 2}
    assert "the device is on fire" in (tmp_path / "summary.md").read_text()


def test_a_section_that_kills_its_process_or_hangs_leaves_the_others_their_results(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS_TO_START", 2.0)
    sections = [section_of("is_killed"), section_of("hangs", seconds=0.0), section_of("passes")]
    outcomes = run(tmp_path, *sections)["sections"]
    assert [outcome["status"] for outcome in outcomes.values()] == ["failed", "failed", "passed"]
    assert "SIGKILL" in outcomes["is_killed"]["failures"][""]
    assert outcomes["is_killed"]["found"] == {"found before": 1}
    assert "it was ended after 2 s" in outcomes["hangs"]["failures"][""]


def test_the_report_is_on_the_disk_before_the_next_section_begins(tmp_path):
    outcomes = run(tmp_path, section_of("fails"), section_of("reads_the_report"))["sections"]
    seen = outcomes["reads_the_report"]["found"]["report"]
    assert seen["fails"] == outcomes["fails"]
    assert seen["reads_the_report"]["status"] == "running"


def test_what_is_missing_is_lacking_unless_it_is_our_own(tmp_path):
    content = run(tmp_path, section_of("lacks_a_package"), section_of("lacks_a_module_of_ours"))
    assert content["sections"]["lacks_a_package"]["status"] == "lacking"
    assert content["sections"]["lacks_a_package"]["lacking"] == {"": "a_package_that_nobody_has"}
    assert content["failed"] == ["lacks_a_module_of_ours"]


def test_no_section_begins_after_the_budget(tmp_path):
    sections = [section_of("spends_all_the_time", seconds=0.1), section_of("passes", seconds=0.1)]
    outcomes = run(tmp_path, *sections, ends_at=time.monotonic() + 1)["sections"]
    assert outcomes["spends_all_the_time"]["status"] == "passed"
    assert outcomes["passes"]["status"] == "skipped"
    assert outcomes["passes"]["skipped"][""].endswith("0 s were left")


def test_a_section_that_needs_more_time_than_is_left_does_not_begin_and_a_shorter_one_does(tmp_path):
    sections = [section_of("fails", seconds=1000.0), section_of("passes", seconds=1.0)]
    outcomes = run(tmp_path, *sections, ends_at=time.monotonic() + 500)["sections"]
    assert outcomes["fails"]["status"] == "skipped" and "it needs some 1000 s" in outcomes["fails"]["skipped"][""]
    assert outcomes["passes"]["status"] == "passed"


def test_a_failed_section_makes_the_exit_code_1(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SECTIONS", [section_of("fails"), section_of("passes")])
    monkeypatch.setattr(command, "prepare_environment", lambda settings: None)
    words = ["--output", str(tmp_path), "--device", "cpu"]
    assert command.main(words) == 1
    assert command.main([*words, "--only", "passes"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "machine", "nosuch"], "unknown section 'nosuch'; the sections are machine, noise, "),
        (["--device", "tpu"], "--device takes cuda, cuda:INDEX or cpu, got 'tpu'"),
        (["--device", "cuda:97"], f"--device cuda:97: torch {torch.__version__} finds "),
    ],
)
def test_a_wrong_request_is_told_in_one_sentence(words, message, tmp_path, capsys):
    assert command.main(["--output", str(tmp_path / "out"), *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(message) and printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
