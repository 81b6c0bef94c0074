"""`zoo import`: data on stdout, what became of the keys on stderr, and an exit code that tells whose fault it was."""

import json

import pytest
import torch
from huggingface_hub import ModelCard

import zoo
from tests.hub_card_rules import errors_in
from tests.zoo.cards.test_card import CERTIFICATION
from tests.zoo.checkpoints.test_writing import ROWS
from zoo.checkpoints.checkpoint import open_checkpoint, sha256_of
from zoo.checkpoints.writing import record_results
from zoo.models.resnets import QuarterResNet

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
    assert "`best.pth.tar`" in card and "None" not in card.replace("or None if it abstains", "")


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


def test_the_other_network_of_a_file_is_named_and_can_be_chosen(zoo_command, tmp_path):
    state = QuarterResNet(4).state_dict()
    averaged = {key: tensor * 1.5 if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    path = tmp_path / "model_best.pth.tar"
    torch.save({"state_dict": state, "state_dict_ema": averaged, "ema": [torch.ones(2)]}, path)
    done = zoo_command("import", path, *STATED, "--output", tmp_path / "out")
    assert done.code == 0 and "in the format timm in state_dict_ema" in done.err
    assert "also in the file, not imported: the network state_dict (--network imports it)" in done.err
    assert "also in the file, not read: ema (1 tensors)" in done.err
    assert "network `state_dict_ema`" in zoo_command("show", tmp_path / "out").out
    chosen = zoo_command("import", path, *STATED, "--network", "state_dict", "--output", tmp_path / "raw", "--json")
    told = json.loads(chosen.out)
    assert (told["network"], told["other_networks"]) == ("state_dict", ["state_dict_ema"])
    assert torch.equal(zoo.load(str(tmp_path / "raw")).backbone.fc.weight, state["fc.weight"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "add --normalization with one of imagenet"),
        ((*STATED, "--format", "keras"), "unknown format 'keras'"),
        ((*STATED, "--format", "macer"), "no ResNet in the format macer"),
        ((*STATED, "--architecture", "resnet50"), "is not a resnet50: layer1.0.conv3.weight is missing"),
        ((*STATED, "--fresh-head"), "add --num-classes K"),
        (("--normalization", "imagnet"), "Did you mean 'imagenet'"),
    ],
)
def test_a_wrong_request_ends_with_code_2_and_one_line(words, reason, foreign, zoo_command, tmp_path):
    done = zoo_command("import", foreign[0], *words, "--output", tmp_path / "out")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith("zoo: ") and reason in done.err and not (tmp_path / "out").exists()


def test_a_file_that_is_absent_ends_with_code_2(zoo_command, tmp_path):
    done = zoo_command("import", tmp_path / "absent.pt", *STATED, "--output", tmp_path / "out")
    assert done.code == 2 and "absent.pt is not a file" in done.err


@pytest.mark.parametrize("words", [("--num-classes", 1), ("--sigma", -1), ("--interpolation", "lanczos")])
def test_options_out_of_range_are_wrong_usage(words, foreign, zoo_command, tmp_path):
    assert zoo_command("import", foreign[0], *words, "--output", tmp_path / "out").code == 2


REPORTED = """
- what: certified accuracy at l2 radius 0.5
  value: 49.0
  task: pets
  conditions: sigma 0.25, n 100,000
  source: Somebody et al. 2020, table 2
  url: https://example.org/paper
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")
def test_an_imported_and_pushed_checkpoint_ends_with_a_card_that_tells_what_was_reported_from_what_was_measured(
    foreign, zoo_command, tmp_path, hub, monkeypatch
):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    path, _ = foreign
    (tmp_path / "reported.yaml").write_text(REPORTED)
    stated = ("--licence", "MIT", "--url", "https://example.org/best.pth.tar", "--reported", tmp_path / "reported.yaml")
    named = ("--image-size", 32, "--sigma", 0.25, "--task", "pets", "--objective", "gaussian")
    done = zoo_command("import", path, *STATED, *stated, *named, "--output", tmp_path / "out")
    assert done.code == 0
    checkpoint = open_checkpoint(tmp_path / "out")
    record_results(checkpoint, certification=(CERTIFICATION, ROWS))
    assert zoo_command("push", tmp_path / "out", "alice/imported").code == 0
    assert ("POST", "/api/validate-yaml") in hub.requests
    card = ModelCard(hub.repository("alice/imported").head.files["README.md"].decode())
    assert errors_in(card.content) == [] and card.data.license == "mit"
    reported = card.text[
        card.text.index("## Reported by its authors (not measured here)") : card.text.index("## Limits")
    ]
    measured = card.text[card.text.index("## Certified accuracy (measured here)") : card.text.index("## Reported by")]
    assert "49.0" in reported and "Somebody et al. 2020" in reported and "80.0" in measured and "49.0" not in measured
    assert [one.metric_value for one in card.data.eval_results] == [80.0, 1.25, 5.0]
    assert sha256_of(path) in card.text and "`best.pth.tar`" in card.text and "format cohen" in card.text
    assert "Licence of the weights: `MIT`." in card.text and "`https://example.org/best.pth.tar`" in card.text
    assert card.text.count("Not measured.") == 1 and "None" not in card.text.replace("or None if it abstains", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("what: accuracy", "contains no list of numbers"),
        ("- {what: accuracy, value: 76.1, task: imagenet}", "number 1: source: Field required"),
        ("- {what: accuracy, value: high, task: imagenet, source: x}", "number 1: value: Input should be"),
        ("- {what: a, value: 1, task: t, source: s, url: ftp://x}", "number 1: url:"),
        ("- [", "is not valid YAML"),
    ],
)
def test_a_reported_number_without_its_source_is_refused(text, said, foreign, zoo_command, tmp_path):
    (tmp_path / "reported.yaml").write_text(text)
    done = zoo_command(
        "import", foreign[0], *STATED, "--reported", tmp_path / "reported.yaml", "--output", tmp_path / "out"
    )
    assert done.code == 2 and said in done.err and not (tmp_path / "out").exists()
