"""float32 is float32 for any host program, whose settings are back afterwards."""

import pytest
import torch

from training.attacks import under_attack
from zoo.smoothing.backends import TorchBackend, arithmetic
from zoo.smoothing.backends.arithmetic import CPU_SWITCHES, CUDA_SWITCHES
from zoo.smoothing.precision import precision_of

SWITCHES = (torch.backends, *CPU_SWITCHES, *CUDA_SWITCHES)
HOSTS = {
    "as torch sets it": lambda: None,
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "no TF32 in convolutions": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "newer switch of convolutions": lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    "newer switch of everything": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
}


def readable(read):
    try:
        return read()
    except RuntimeError:  # the host program uses the newer switches
        return None


def host_state():
    older = (lambda: torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision)
    return [switch.fp32_precision for switch in SWITCHES] + [readable(read) for read in older]


@pytest.fixture(params=HOSTS)
def host(request):
    """The state of a host program that has set torch's switches in some way."""
    before = [switch.fp32_precision for switch in SWITCHES]
    HOSTS[request.param]()
    yield host_state()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for switch, value in zip(SWITCHES, before, strict=True):
        switch.fp32_precision = value


@pytest.mark.parametrize(("precision", "products"), [("float32", "ieee"), ("tf32", "tf32")])
def test_a_precision_sets_all_switches_of_cuda_and_the_hosts_are_back_afterwards(precision, products, host):
    with pytest.raises(ValueError, match="on purpose"), arithmetic(precision, "cuda"):
        assert {switch.fp32_precision for switch in CUDA_SWITCHES} == {products}
        if None not in host:  # compilers read the older switches
            assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")
            assert torch.get_float32_matmul_precision() == ("high" if precision == "tf32" else "highest")
        raise ValueError("on purpose")
    assert host_state() == host


class Watched(torch.nn.Module):
    """A network that records the switches while it computes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, 2))
        self.seen = []

    def forward(self, x_BCHW):
        self.seen.append(({switch.fp32_precision for switch in CPU_SWITCHES}, torch.is_autocast_enabled("cpu")))
        return x_BCHW.flatten(1)[:, :3] @ self.weight


@pytest.mark.parametrize("host", ["as torch sets it", "medium"], indirect=True)
def test_networks_and_attacks_compute_in_float32_also_inside_of_the_hosts_autocast(host):
    network, x_BCHW = Watched(), torch.rand(2, 1, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        TorchBackend(network, num_classes=2).classify(x_BCHW)
        with under_attack(network) as target:
            target(x_BCHW)
    TorchBackend(network, num_classes=2, precision="bfloat16").classify(x_BCHW)
    products = [switches - {"none", "ieee"} for switches, _ in network.seen]
    assert products == [set()] * 3 and [is_rounded for _, is_rounded in network.seen] == [False, False, True]
    assert host_state() == host


@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("torch-cpu-float32", "float32"),
        ("onnxruntime-cpu-int8", "int8"),
        ("torch-cuda-tf32 (batch 2: memory ran out at 4)", "tf32"),
        ("toy", None),
    ],
)
def test_the_precision_is_the_last_part_of_a_backends_name(backend, precision):
    assert precision_of(backend) == precision
