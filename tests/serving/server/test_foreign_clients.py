"""The clients of KServe and Triton, as they are published, against the running server."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.foreign_environment import python_of_environment
from tests.serving.conftest import on_all_engines

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("foreign_clients.py")
BINARY = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def python_with_clients(tmp_path_factory):
    """The Python of an environment with the clients."""
    return python_of_environment(tmp_path_factory.mktemp("download"))


@on_all_engines
def test_the_clients_of_kserve_and_triton_get_the_same_answers_as_ours_in_every_way(
    python_with_clients, served, digit_pngs, tmp_path
):
    (tmp_path / "digit.png").write_bytes(digit_pngs[0])
    form = {"files": {"data": digit_pngs[0]}, "data": {"seed": "7", "n": "3000"}}
    ours = httpx.post(served.url, **form, timeout=120).json()
    command = [str(python_with_clients), str(SCRIPT), served.server.url, served.name, str(tmp_path / "digit.png")]
    has_health = served.worker_word != "model_service_worker"  # TorchServe cannot route these addresses
    command += ["health"] if has_health else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert "unknown parameter 'unknown'" in answers.pop("refusal")
    assert answers.pop("health", []) == [True] * 12 * has_health
    assert len(answers) == 8
    expected = [ours["label"], ours["certificate"]["radius"]]
    assert {way: answer for way, answer in answers.items() if answer != expected} == {}


@on_all_engines
def test_json_without_a_content_type_and_binary_tensors_that_make_no_sense_are_refused_or_answered_in_words(served):
    address = f"{served.server.url}/v2/models/{served.name}/infer"
    for headers, content, said in (
        ({}, b'{"inputs": []}', "a list of one tensor"),
        ({BINARY: "9"}, b'{"inputs"', "not valid JSON"),
        ({BINARY: "99"}, b'{"inputs": []}', "at most that of the body"),
        ({BINARY: "-1"}, b'{"inputs": []}', "must be the length of the JSON part"),
    ):
        refused = httpx.post(address, content=content, headers=headers, timeout=60)
        assert refused.status_code == 400 and said in refused.json()["error"]
