"""`zoo predict` without a server, and refusals of the serving commands."""

import json

import pytest

from training.tasks import open_task


@pytest.fixture
def folder(tmp_path):
    task = open_task("digits", data_dir=tmp_path)
    (tmp_path / "images").mkdir()
    for index in range(3):
        task.test[index].save(tmp_path / "images" / f"{index}.png")
    return tmp_path / "images"


def test_one_image_is_answered_by_the_http_object(zoo_command, digits_checkpoint, folder):
    done = zoo_command("predict", folder / "1.png", "--model", digits_checkpoint.path, "--n", 200, "--json")
    told = json.loads(done.out)
    assert done.code == 0 and told["certificate"]["n"] == 200 and told["model"]["name"] == digits_checkpoint.spec.name


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


def test_a_bad_image_loses_no_answer_of_its_neighbours(zoo_command, digits_checkpoint, folder):
    (folder / "0.png").write_bytes(b"nothing")
    done = zoo_command("predict", folder, "--model", digits_checkpoint.path, "--n", 100)
    assert done.code == 2 and len(done.out.splitlines()) == 3
    assert f"{folder / '0.png'}: the body is no image" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "/none.png", "--model", "x"], "/none.png does not exist"),
        (["predict", __file__], "say who answers: either --url of a served model or --model"),
        (["predict", __file__, "--url", "x", "--model", "y"], "say who answers"),
        (["serve", "no/where/else"], "neither a directory here nor a Hub id"),
        (["predict", __file__, "--url", "x", "--stopping", "never"], "parameter stopping='never'"),
        (["predict", __file__, "--url", "x", "--mode", "predict", "--radius", "1"], "radius goes with mode certify"),
        (["serve", "no/where", "--backend", "tvm"], "--backend takes auto, torch, onnx, got 'tvm'"),
        (["serve", "x", "--n", "100", "--max-n", "10"], "must not exceed max_n=10"),
    ],
)
def test_wrong_requests_end_with_one_sentence(words, said, zoo_command):
    done = zoo_command(*words)
    assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1
