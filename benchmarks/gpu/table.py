"""The sections, most informative first, because a run that reaches its time limit skips the last ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One check or measurement.

    `function` is `module:name` and is called with the Settings and the Findings. Its module is imported when the
    section starts, so a missing package affects this section only. `seconds` is the estimated time on the intended GPU;
    the section does not start if less time is left.
    """

    name: str
    function: str
    seconds: float
    needs_cuda: bool = False


SECTIONS = (
    Section(name="machine", function="benchmarks.gpu.machine:describe", seconds=15),
    Section(name="noise", function="benchmarks.gpu.noise:check", seconds=15),
    Section(name="agreement", function="benchmarks.gpu.agreement:compare", seconds=30),
    Section(name="noise-speed", function="benchmarks.gpu.noise:measure", seconds=30),
    Section(name="throughput", function="benchmarks.gpu.throughput:eager", seconds=90),
    Section(name="graphs", function="benchmarks.gpu.throughput:graphs", seconds=90, needs_cuda=True),
    Section(name="compiled", function="benchmarks.gpu.throughput:compiled", seconds=90),
    Section(name="profile", function="benchmarks.gpu.profiling:profile_step", seconds=20),
    Section(name="packing", function="benchmarks.gpu.packing:check", seconds=20),
    Section(name="objectives", function="benchmarks.gpu.methods:objectives", seconds=25),
    Section(name="attacks", function="benchmarks.gpu.methods:attacks", seconds=25),
    Section(name="training", function="benchmarks.gpu.training_step:compare", seconds=40),
    Section(name="service", function="benchmarks.gpu.service:measure", seconds=30),
    Section(name="memory", function="benchmarks.gpu.memory:check", seconds=15, needs_cuda=True),
    Section(name="onnxruntime", function="benchmarks.gpu.onnx:check", seconds=30),
    Section(name="tests", function="benchmarks.gpu.ends:marked_tests", seconds=40, needs_cuda=True),
    Section(name="torchserve", function="benchmarks.gpu.ends:torchserve", seconds=60, needs_cuda=True),
    Section(name="autotuned", function="benchmarks.gpu.throughput:autotuned", seconds=240, needs_cuda=True),
)
