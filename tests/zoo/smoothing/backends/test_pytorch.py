"""PyTorch as a backend: folded networks compute the same, and what is no answer is refused."""

import pytest
import torch
from torch import nn

from zoo.errors import CertificationError, OutOfMemoryError
from zoo.models.architecture import ARCHITECTURES, build_network
from zoo.models.spec import Preprocessing
from zoo.smoothing.backends import TorchBackend, fused

pytestmark = pytest.mark.usefixtures("two_threads")


def network(architecture):
    """A network whose batch statistics are not those of its birth."""
    built = build_network(architecture, num_classes=7, preprocessing=Preprocessing(resize=32, crop=32))
    built.train()
    with torch.no_grad():
        for _ in range(2):
            built(torch.rand(8, 3, 32, 32))
    return built.eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_fused_network_has_no_batch_normalization_left_and_the_same_logits(architecture):
    torch.manual_seed(0)
    original, x_BCHW = network(architecture), torch.randn(5, 3, 32, 32)
    folded = fused(original)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [module for module in original.modules() if isinstance(module, nn.BatchNorm2d)], "the original stays"
    with torch.inference_mode():
        torch.testing.assert_close(folded(x_BCHW), original(x_BCHW), atol=1e-5, rtol=1e-4)


def test_a_batch_normalization_that_shares_its_convolution_is_left_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.normalization = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x_BCHW):
            features_BCHW = self.convolution(x_BCHW)
            return self.normalization(features_BCHW) + features_BCHW

    original, x_BCHW = Shared().eval(), torch.randn(2, 3, 4, 4)
    original.normalization.running_mean += 1
    folded = fused(original)
    assert [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.inference_mode():
        torch.testing.assert_close(folded(x_BCHW), original(x_BCHW))


def test_mixed_precision_is_another_classifier_under_its_own_name():
    original = network("resnet10-quarter")
    base = TorchBackend(original, num_classes=7, precision="bfloat16", is_channels_last=True)
    assert base.name == "torch-cpu-bfloat16"
    assert base.classify(torch.randn(4, 3, 32, 32)).shape == (4,)


def raising(error):
    raise error


@pytest.mark.parametrize(
    "greedy",
    [
        lambda x_BCHW: raising(torch.OutOfMemoryError("CUDA out of memory")),
        lambda x_BCHW: raising(MemoryError()),
        lambda x_BCHW: torch.empty(10**14),
    ],
    ids=["torch on CUDA", "Python", "torch on a CPU"],
)
def test_memory_that_runs_out_is_told_apart_from_other_failures(greedy):
    with pytest.raises(OutOfMemoryError, match="not have enough memory for a batch of 4 images"):
        TorchBackend(greedy, num_classes=2).classify(torch.zeros(4, 1, 1, 1))


@pytest.mark.parametrize(("logit", "said"), [(float("nan"), "not finite: nan"), (float("inf"), "not finite: inf")])
def test_a_logit_that_is_not_finite_is_named(logit, said):
    base = TorchBackend(lambda x_BCHW: torch.full((len(x_BCHW), 2), logit), num_classes=2)
    with pytest.raises(CertificationError, match=said):
        base.classify(torch.zeros(4, 1, 1, 1))
