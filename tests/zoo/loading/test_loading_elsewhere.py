"""A pushed repository in timm and in torchvision, without this project's code: the same logits."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from tests.loopback_hub import LoopbackHub
from tests.zoo.checkpoints.test_checkpoint import saved
from zoo import hub as zoo_hub

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

X_BCHW = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
ELSEWHERE = """
import sys
import timm, torch, torchvision
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file, save_file

inputs, answers, revision = sys.argv[1:]
x_BCHW, logits = load_file(inputs)["x"], {}


def normalized(config):
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    return (x_BCHW - mean) / std


with torch.inference_mode():
    for repository in ("alice/resnet18", f"alice/resnet18@{revision}", "alice/digits"):
        network = timm.create_model(f"hf_hub:{repository}", pretrained=True).eval()
        logits[f"timm {repository}"] = network(normalized(network.pretrained_cfg))
    config = timm.models.load_model_config_from_hf("alice/resnet18")[0]
    network = torchvision.models.resnet18(num_classes=4)
    weights = load_file(hf_hub_download("alice/resnet18", "model.safetensors"))
    network.load_state_dict(weights, strict=True)
    logits["torchvision"] = network.eval()(normalized(config))
assert not [name for name in sys.modules if name.split(".")[0] == "zoo"]
save_file(logits, answers)
"""


@pytest.fixture(scope="module")
def found(digits_checkpoint, tmp_path_factory):
    """Logits by who computed them: this project, and a program that knows only the Hub, timm and torchvision."""
    folder = tmp_path_factory.mktemp("elsewhere")
    checkpoint, _ = saved(folder / "resnet18", "resnet18")
    save_file({"x": X_BCHW}, folder / "inputs")
    with LoopbackHub(tokens={"hf_alice": "alice"}) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_TOKEN", "hf_alice")
        commit = zoo_hub.push(checkpoint, "alice/resnet18")
        zoo_hub.push(digits_checkpoint, "alice/digits")
        hub.repository("alice/resnet18").commit("Somebody edits the card", {"README.md": b"mine"})
        words = [sys.executable, "-P", "-c", ELSEWHERE, str(folder / "inputs"), str(folder / "answers"), commit.sha]
        environment = os.environ | {"HF_HOME": str(folder / "home")}
        done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    network = zoo.load(checkpoint.path)
    ours = {"network": network}
    with torch.inference_mode():
        ours |= {"alice/resnet18": network(X_BCHW), "alice/digits": digits_checkpoint.load_network()(X_BCHW)}
    return load_file(folder / "answers"), ours, commit.sha


def test_timm_loads_a_pushed_repository_from_the_hub_with_equal_logits(found):
    theirs, ours, sha = found
    for repository in ("alice/resnet18", "alice/digits"):
        assert torch.allclose(theirs[f"timm {repository}"], ours[repository], rtol=1e-5, atol=1e-6)
    assert torch.equal(theirs[f"timm alice/resnet18@{sha}"], theirs["timm alice/resnet18"])


def test_torchvision_loads_a_pushed_repositorys_weights_strictly_with_equal_logits(found):
    theirs, ours, _ = found
    assert torch.allclose(theirs["torchvision"], ours["alice/resnet18"], rtol=1e-5, atol=1e-6)


def test_the_comparison_would_see_a_normalization_that_is_left_out(found):
    theirs, ours, _ = found
    with torch.inference_mode():
        bare_BK = ours["network"].backbone(X_BCHW)
    assert not torch.allclose(theirs["torchvision"], bare_BK, rtol=1e-2, atol=1e-3)
