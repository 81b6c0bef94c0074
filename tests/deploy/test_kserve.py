"""The documents for KServe are such as KServe's own package knows, and start what `zoo serve` accepts."""

import copy
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_files import require_accepted
from tests.foreign_environment import python_of_environment

RUNTIME, SERVICE = [yaml.safe_load(Path(f"deploy/kserve/{name}.yaml").read_text()) for name in ("runtime", "service")]
SCRIPT = Path(__file__).with_name("kserve_documents.py")


@pytest.mark.slow
def test_kserves_own_models_know_every_key(tmp_path):
    python = python_of_environment(tmp_path)

    def complaints(*documents):
        (tmp_path / "documents.json").write_text(json.dumps(documents))
        command = [str(python), str(SCRIPT), str(tmp_path / "documents.json")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    wrong = copy.deepcopy(RUNTIME)
    wrong["spec"]["containers"][0]["port"] = 8080
    wrong["spec"]["protocolVersions"] = "v2"
    found = complaints(RUNTIME, SERVICE, wrong)
    assert found == [  # the control
        "ClusterServingRuntime.spec.protocolVersions is not a list",
        "ClusterServingRuntime.spec.containers[0].port is not known to V1Container",
    ]


def test_the_runtime_starts_what_the_command_accepts_and_probes_what_needs_no_token():
    (container,) = RUNTIME["spec"]["containers"]
    require_accepted(["--port", "8080", *container["args"]])
    drain = int(container["args"][container["args"].index("--drain-seconds") + 1])
    assert drain <= 250, "KServe ends a pod after 300 s"
    paths = {container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"/v2/health/ready", "/v2/health/live"}
    formats = {each["name"] for each in RUNTIME["spec"]["supportedModelFormats"]}
    assert SERVICE["spec"]["predictor"]["model"]["modelFormat"]["name"] in formats
