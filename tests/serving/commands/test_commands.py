"""`zoo predict` without a server, and refusals of the serving commands."""

import json

import pytest

from serving.client import Client
from serving.server import Ports
from tests.serving.client.scripted_server import ScriptedServer, answer, reply
from training.tasks import open_task
from zoo.smoothing.bounds import clopper_pearson_upper


@pytest.fixture
def folder(tmp_path):
    task = open_task("digits", data_dir=tmp_path)
    (tmp_path / "images").mkdir()
    for index in range(3):
        task.test[index].save(tmp_path / "images" / f"{index}.png")
    return tmp_path / "images"


def test_one_image_is_answered_by_the_http_object(zoo_command, digits_checkpoint, folder):
    words = ["--n", 200, "--bound", "simultaneous", "--json"]
    done = zoo_command("predict", folder / "1.png", "--model", digits_checkpoint.path, *words)
    told = json.loads(done.out)
    assert done.code == 0 and told["certificate"]["n"] == 200 and told["model"]["name"] == digits_checkpoint.spec.name
    certificate = told["certificate"]
    assert certificate["bound"] == "simultaneous" and certificate["count_a"] + certificate["count_b"] <= 200
    assert certificate["p_b_upper"] == clopper_pearson_upper(certificate["count_b"], 200, 0.001 / 2)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_radius_is_decided_on_the_spot_by_either_backend(backend, zoo_command, digits_checkpoint, folder):
    rule = ["--stopping", "at-radius", "--radius", 0.5, "--noise", "discrete", "--backend", backend]
    done = zoo_command("predict", folder / "1.png", "--model", digits_checkpoint.path, *rule, "--json")
    certificate = json.loads(done.out)["certificate"]
    assert done.code == 0 and certificate["radius"] in (0.0, 0.5) and certificate["noise"] == "discrete"
    assert certificate["backend"].startswith(backend)


def test_a_folder_is_answered_by_json_lines_or_a_table(zoo_command, digits_checkpoint, folder):
    words = ["predict", folder, "--model", digits_checkpoint.path, "--mode", "predict"]
    lines = [json.loads(line) for line in zoo_command(*words, "--json").out.splitlines()]
    assert [line["image"] for line in lines] == [str(folder / f"{index}.png") for index in range(3)]
    table = [line.split("\t") for line in zoo_command(*words).out.splitlines()]
    assert table[0] == ["image", "label", "class_name", "abstained", "radius"] and len(table) == 4
    assert all(len(row) == 5 for row in table)


@pytest.mark.slow
def test_a_server_is_asked_about_a_folder_and_the_order_is_kept(zoo_command, served, digit_pngs, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    contents = [*digit_pngs[:5], b"nothing", *digit_pngs[5:8]]
    for index, content in enumerate(contents):
        (folder / f"{index}.png").write_bytes(content)
    done = zoo_command("predict", folder, "--url", served.url, "--n", 200, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 2 and [line["image"] for line in lines] == [str(folder / f"{at}.png") for at in range(9)]
    with Client(served.url) as client:
        told = client.certify_all(contents[:5] + contents[6:], n=200)
    # Both drew noise of their own; where both certified they agree.
    pairs = [(line["label"], each.label) for line, each in zip(lines[:5] + lines[6:], told, strict=True)]
    certified = [pair for pair in pairs if None not in pair]
    assert (
        len(certified) >= 4 and len(set(certified)) >= 3 and all(by_cli == by_client for by_cli, by_client in certified)
    )
    assert lines[5]["error"]["type"] == "RefusedError" and f"{folder / '5.png'}: the server refused" in done.err


def test_a_server_that_is_gone_ends_the_asking(zoo_command, folder):
    done = zoo_command("predict", folder, "--url", f"http://127.0.0.1:{Ports.find().inference}/predictions/x")
    assert done.code == 1 and "no answer from" in done.err and done.err.count("\n") == 1


def test_a_token_and_a_deadline_are_sent(zoo_command, folder, monkeypatch):
    monkeypatch.setenv("ZOO_TOKEN", "secret")
    with ScriptedServer([reply(200, answer())] * 3) as server:
        done = zoo_command("predict", folder, "--url", server.url, "--stopping", "anytime", "--deadline-ms", "500")
    assert done.code == 0 and done.out.count("seven") == 3
    assert all(b"Bearer secret" in request and b"deadline_ms" in request for request in server.requests)


def test_a_bad_image_loses_no_answer_of_its_neighbours(zoo_command, digits_checkpoint, folder):
    (folder / "0.png").write_bytes(b"nothing")
    done = zoo_command("predict", folder, "--model", digits_checkpoint.path, "--n", 100)
    assert done.code == 2 and len(done.out.splitlines()) == 3
    assert f"{folder / '0.png'}: the data is not an image" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "/none.png", "--model", "x"], "/none.png does not exist"),
        (["predict", __file__], "zoo predict needs either --url of a served model or --model"),
        (["predict", __file__, "--url", "x", "--model", "y"], "and not both"),
        (["serve", "no/where/else"], "neither a directory nor a Hub id"),
        (["predict", __file__, "--url", "x", "--stopping", "never"], "parameter stopping='never'"),
        (["predict", __file__, "--url", "x", "--mode", "predict", "--radius", "1"], "radius requires mode=certify"),
        (["serve", "no/where", "--backend", "tvm"], "--backend takes auto, torch, compiled, onnx, got 'tvm'"),
        (["serve", "x", "--n", "100", "--max-n", "10"], "must not exceed max_n=10"),
    ],
)
def test_wrong_requests_end_with_one_sentence(words, said, zoo_command):
    done = zoo_command(*words)
    assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1
