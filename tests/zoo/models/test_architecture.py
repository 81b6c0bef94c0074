"""Networks: torchvision's names, normalization first and unclamped, small where they should be."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18, resnet34, resnet50

from zoo.errors import UnknownNameError
from zoo.models.architecture import ARCHITECTURES, Architecture, Normalization, build_network, empty_backbone
from zoo.models.spec import Preprocessing, TimmNetwork

PLAIN = Preprocessing(resize=32, crop=32)


@pytest.mark.parametrize(
    ("name", "reference"), [("resnet18", resnet18), ("resnet34", resnet34), ("resnet50", resnet50)]
)
def test_a_backbone_has_torchvisions_keys_and_shapes(name, reference):
    ours = build_network(name, num_classes=7, preprocessing=PLAIN).backbone.state_dict()
    theirs = reference(num_classes=7).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_normalization_is_affine_and_never_clamps():
    layer = Normalization((0.5, 0.4, 0.3), (0.2, 0.1, 0.4))
    x_BCHW = torch.tensor([-3.0, 0.5, 4.0]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.1, 0.4]).view(3, 1, 1)
    assert torch.allclose(layer(x_BCHW), (x_BCHW - mean) / std)


def test_the_statistics_of_the_normalization_are_not_stored():
    network = build_network("resnet10-quarter", num_classes=3, preprocessing=PLAIN)
    assert not [key for key in network.state_dict() if "normalization" in key]


def test_the_small_network_costs_a_few_million_multiply_adds():
    network = build_network("resnet10-quarter", num_classes=10, preprocessing=PLAIN).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 32, 32))
    assert 3.0e6 < counter.get_total_flops() / 2 < 5.0e6


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_answers_one_logit_a_class(name):
    network = build_network(name, num_classes=5, preprocessing=PLAIN).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_an_unknown_architecture_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="resnet10-quarter, resnet18, resnet34, resnet50"):
        build_network("resnet51", num_classes=2, preprocessing=PLAIN)


def test_an_empty_network_has_no_weights_but_what_its_constructor_computes_on_the_cpu():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.register_buffer("table", torch.empty(2, device="cpu").fill_(3))

    architecture = Architecture(
        name="own", build=lambda num_classes, size: Network(), timm=TimmNetwork(name="own"), keys="timm"
    )
    backbone = empty_backbone(architecture, num_classes=2, size=8)
    assert backbone.layer.weight.is_meta and backbone.table.tolist() == [3, 3]
