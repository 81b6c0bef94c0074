"""Networks of timm as architectures: by name only, without weights, at the task's image size."""

import pytest
import timm
import torch

from zoo.checkpoints.weights import backbone_of
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import RequestError, UnknownNameError
from zoo.models.architecture import ARCHITECTURES, build_network, find_architecture, head_names, is_inside
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing
from zoo.smoothing.backends import fused

PIXELS = Preprocessing(resize=32, crop=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
# Small members of families that differ in their last layer, their input size, their tables or shared weights.
HEADS = {
    "tf_efficientnet_lite0": ("classifier",),
    "convnext_atto": ("head.fc",),
    "mobilenetv3_small_050": ("classifier",),
    "vit_tiny_patch16_224": ("head",),
    "caformer_s18": ("head.fc.fc2",),
    "levit_128s": ("head.linear", "head_dist.linear"),
}


def spec_of(name, num_classes=4, size=32):
    preprocessing = PIXELS.model_copy(update={"resize": size, "crop": size})
    certified = CertifiedConfig(
        objective="gaussian", sigma=0.5, task="t", class_names=tuple("abcdefgh"[:num_classes]),
        preprocessing=preprocessing,
    )  # fmt: skip
    return ModelSpec(architecture=name, num_classes=num_classes, certified=certified)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mobilenetv3_small_050", "convnext_atto", "coat_lite_tiny"])
def test_a_checkpoint_of_a_timm_network_is_loaded_here_and_by_timm_with_the_same_logits(name, tmp_path):
    """ViT is built for the size; CoaT shares modules."""
    torch.manual_seed(0)
    network = build_network(name, num_classes=4, preprocessing=PIXELS).eval()
    checkpoint = save_checkpoint(tmp_path / "c", network, spec_of(name))
    theirs = timm.create_model(f"local-dir:{tmp_path / 'c'}", pretrained=True).eval()
    x_BCHW = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXELS.mean, PIXELS.std))
    with torch.inference_mode():
        expected_BK = network(x_BCHW)
        assert torch.equal(checkpoint.load_network()(x_BCHW), expected_BK)
        assert torch.equal(theirs((x_BCHW - mean) / std), expected_BK)
        torch.testing.assert_close(fused(network)(x_BCHW), expected_BK, atol=1e-5, rtol=1e-4)
    assert f"| architecture | {name}, timm's key names |" in (tmp_path / "c" / "README.md").read_text()


def test_tables_that_are_no_weights_are_computed_without_the_programs_random_numbers():
    """LeViT's indices of attention biases are in no file."""
    spec = spec_of("levit_128s", size=64)
    weights = find_architecture(spec.architecture).build(4, 64).state_dict()
    torch.manual_seed(5)
    backbone = backbone_of(spec, weights)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert any(name not in weights for name, _ in backbone.named_buffers())
    assert not any(value.is_meta for value in (*backbone.buffers(), *backbone.parameters()))


def test_weights_that_do_not_fit_are_refused_before_the_network_gets_memory(monkeypatch):
    """A small file may name a network of billions of weights."""
    devices = []
    architecture = find_architecture("levit_128s")

    def build(num_classes, size):
        devices.append(torch.get_default_device().type)
        return architecture.build(num_classes, size)

    monkeypatch.setattr("zoo.checkpoints.weights.find_architecture", lambda _: type(architecture)(
        name=architecture.name, build=build, timm=architecture.timm, keys="timm"
    ))  # fmt: skip
    with pytest.raises(RuntimeError, match="Missing key"):
        backbone_of(spec_of(architecture.name, size=64), {"head.linear.bias": torch.zeros(4)})
    assert devices == ["meta"]


@pytest.mark.parametrize(("name", "heads"), HEADS.items())
def test_only_the_last_layer_depends_on_the_number_of_classes(name, heads):
    with torch.device("meta"):
        small, large = (find_architecture(name).build(num_classes, 64) for num_classes in (3, 5))
    assert head_names(small) == heads
    shapes = {key: value.shape for key, value in large.state_dict().items()}
    differing = [key for key, value in small.state_dict().items() if value.shape != shapes[key]]
    assert differing and all(is_inside(key, heads) for key in differing)


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18", "hf_hub:x/y", "local-dir:/tmp", "/etc/passwd", "../x", ""])
def test_addresses_of_weights_never_reach_timm(name, monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("timm was asked"))
    with pytest.raises(UnknownNameError, match="unknown architecture"):
        find_architecture(name)


def test_a_name_of_weights_is_refused_with_the_name_of_the_architecture():
    with pytest.raises(RequestError, match=r"also names weights, 'a1_in1k': the architecture is 'resnet26d'"):
        find_architecture("resnet26d.a1_in1k")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("resnet51", "resnet50"),
        ("ConvNeXt-atto", "convnext_atto"),
        ("tf_eficientnet_lite0", "tf_efficientnet_lite0"),
        ("vit_tiny_patch16", "vit_tiny_patch16_224"),
    ],
)
def test_an_unknown_architecture_gets_a_suggestion_and_no_list_of_a_thousand_names(given, meant):
    with pytest.raises(UnknownNameError) as refused:
        find_architecture(given)
    message = str(refused.value)
    assert message.endswith(f"networks that timm.list_models() names. Did you mean {meant!r}?") and len(message) < 250
    assert all(name in message for name in ARCHITECTURES)


def test_a_network_that_timm_cannot_build_is_refused_in_a_sentence():
    with pytest.raises(RequestError, match="timm cannot build gmlp_ti16_224 for 4 classes and images of 1 pixels: "):
        build_network("gmlp_ti16_224", num_classes=4, preprocessing=Preprocessing(resize=1, crop=1))
