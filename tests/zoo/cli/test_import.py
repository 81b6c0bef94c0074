"""`zoo import`: data on stdout, what became of the keys on stderr, and an exit code that tells whose fault it was."""

import json

import pytest
import torch

import zoo
from zoo.architecture import QuarterResNet

STATED = ("--normalization", "none")


@pytest.fixture
def foreign(tmp_path):
    """Our small network as a training script would save it."""
    path = tmp_path / "best.pth.tar"
    network = QuarterResNet(4).eval()
    state = {f"1.module.{key}": tensor for key, tensor in network.state_dict().items()}
    torch.save({"epoch": 3, "arch": "resnet10-quarter", "state_dict": state}, path)
    return path, network


def test_the_checkpoint_answers_as_the_file_and_is_named_on_stdout(foreign, zoo_command, tmp_path):
    path, network = foreign
    done = zoo_command("import", path, *STATED, "--output", tmp_path / "out", "--sigma", 0.25, "--task", "pets")
    assert (done.code, done.out) == (0, f"{tmp_path / 'out'}: resnet10-quarter.unknown_s25_pets, 4 classes\n")
    assert "resnet10-quarter in the format cohen in state_dict, mean (0.0, 0.0, 0.0)" in done.err
    assert "80 matched\n" in done.err and "0 unexpected, left out\n" in done.err
    x_BCHW = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(zoo.load(str(tmp_path / "out"))(x_BCHW), network(x_BCHW))
    card = zoo_command("show", tmp_path / "out").out
    assert "`best.pth.tar`" in card and "None" not in card


def test_json_tells_the_keys(foreign, zoo_command, tmp_path):
    path, _ = foreign
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    done = zoo_command(
        "import",
        path,
        *STATED,
        "--classes",
        tmp_path / "classes.txt",
        "--num-classes",
        2,
        "--output",
        tmp_path / "out",
        "--json",
    )
    told = json.loads(done.out)
    assert (told["format"], told["matched"], told["num_classes"], told["has_trained_head"]) == ("cohen", 78, 2, False)
    assert told["dropped"] == ["1.module.fc.weight", "1.module.fc.bias"] and told["missing"] == ["fc.weight", "fc.bias"]
    assert "the head is fresh" in done.err
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["certified"]["class_names"] == ["cat", "dog"] and told["checkpoint"] == str(tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "add --normalization with one of imagenet"),
        ((*STATED, "--format", "keras"), "unknown format 'keras'"),
        ((*STATED, "--format", "macer"), "no ResNet in the format macer"),
        ((*STATED, "--architecture", "resnet50"), "holds no resnet50: layer1.0.conv3.weight is missing"),
        ((*STATED, "--fresh-head"), "say --num-classes K"),
        (("--normalization", "imagnet"), "Did you mean 'imagenet'"),
    ],
)
def test_a_wrong_request_ends_with_code_2_and_one_line(words, reason, foreign, zoo_command, tmp_path):
    done = zoo_command("import", foreign[0], *words, "--output", tmp_path / "out")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith("zoo: ") and reason in done.err and not (tmp_path / "out").exists()


def test_a_file_that_is_absent_ends_with_code_2(zoo_command, tmp_path):
    done = zoo_command("import", tmp_path / "absent.pt", *STATED, "--output", tmp_path / "out")
    assert done.code == 2 and "absent.pt is no file" in done.err


@pytest.mark.parametrize("words", [("--num-classes", 1), ("--sigma", -1), ("--interpolation", "lanczos")])
def test_options_out_of_range_are_wrong_usage(words, foreign, zoo_command, tmp_path):
    assert zoo_command("import", foreign[0], *words, "--output", tmp_path / "out").code == 2
