"""Blocks and commands of the pages that no test runs, each with the reason.

A pattern is searched in `PAGE: COMMAND`. An entry that matches nothing fails a test, as does a command that no entry
names and that does not run.
"""

from __future__ import annotations

PARSED: dict[str, str] = {
    r"(?<!start\.md): zoo serve ": "starts processes that import torch again, more work than all others together: "
    "tests/serving runs both engines, and here their application answers in this process",
    r": zoo models ": "needs a running TorchServe: tests/serving/server/test_switching.py runs it",
    r"--task (pets|tuxpaint) ": "the data set is not on every machine that runs the tests",
    r"resnet50\.l2_eps3_imagenet": "downloads 100 MB: python -m examples.network_check does it",
    r"my-model-int8": "takes seconds to make: tests/zoo/checkpoints/test_quantized.py makes, certifies and packs one",
    r"--task imagenet ": "the data set has to be downloaded by hand",
    r"zoo (pull|train) .*efficientnet_lite0\.imagenet": "takes minutes on a CPU: tests/zoo/loading/test_pretrained.py "
    "pulls it, and the page start.md trains on the same pictures",
    r"operate\.md: zoo predict cat.jpg ": "a second version of a model needs TorchServe: test_switching.py asks for it",
    r" --engine ray ": "starts a cluster, more work than the page's other commands: tests/training/study/test_ray.py",
    r": zoo leaderboard build ": "reads folders of the repository: tests/zoo/leaderboard builds the page",
    r": zoo study ": "takes hours: tests/training/study runs a smaller one",
    r"trust\.md: zoo ": "the forgery of test_trust_table.py, which runs it and compares the page's table",
}
"""`zoo` commands whose options, settings and names are checked, but whose work is not done."""

NOT_RUN: dict[str, str] = {
    r": make ": "sets up, builds or tests the whole project: .ci/run does it",
    r": (git clone|pip install|\. \.venv)": "changes the environment: tests/test_installation.py installs the project",
    r"start\.md: cd certified-zoo ": "goes into the folder of git clone, which is not run",
    r": hf auth login ": "a login by hand, of another project's command",
    r": (apt-get|dpkg) ": "unpacks Debian's packages: test_picture_collections.py reads such folders",
    r": torchrun ": "starts four processes: tests/training/evaluation/test_torchrun.py runs two",
    r": python -m examples\.(entries|network_check) ": "takes hours, or the internet: tests/examples runs its parts",
    r"trust\.md: python -c ": "the forgery of test_trust_table.py",
    r": python -m benchmarks\.": "takes minutes of an idle machine",
    r": python -m tests\.mutation ": "takes an hour of two cores, or reads the verdicts of such a run",
    r": (taskset|wait)\b": "takes hours: tests/training/study runs a smaller one",
}
"""Commands that are not run."""

PYTHON: dict[str, str] = {
    r"contributing/tests\.md": "a test without a body, for readers who write one",
    r"timm\.create_model": "three alternatives: test_loading_elsewhere.py runs them on pushed repositories",
    r"openvino\.Core": "OpenVINO is not among the packages of this project",
}
"""Blocks of Python that are not run; a pattern is searched in `PAGE: BLOCK`."""

PAGES: dict[str, str] = {
    "benchmarks/RESULTS.md": "a log of what was measured, with the commands of that day",
    "CHANGELOG.md": "a log; commands of earlier versions may be gone",
}
"""Files that have a page in the site, and whose blocks are not read."""
