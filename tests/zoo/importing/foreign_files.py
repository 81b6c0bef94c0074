"""Files as other projects write them, made from a network by renaming torchvision's keys and adding extras."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from zoo.models.resnets import QuarterResNet

State = Mapping[str, Tensor]

SMALL = "resnet10-quarter"
"""Half a megabyte, where a ResNet-18 has 45 and a ResNet-50 has 100."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MEAN_C11, STD_C11 = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
X_BCHW = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc")


def random_network(name: str, *, num_classes: int) -> nn.Module:
    """A ResNet with batch-norm statistics and weights that are not those of a fresh one; in eval mode."""
    generator = torch.Generator().manual_seed(1)
    network = QuarterResNet(num_classes) if name == SMALL else getattr(resnet, name)(num_classes=num_classes)
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            tensor.fill_(7)
        elif "bn" in key or "downsample.1" in key:  # small scales keep 16 blocks of random numbers finite
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.5)
    return network.eval()


def prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    """The state dict with `prefix` before every key."""
    return {prefix + key: tensor for key, tensor in state.items()}


def without_head(state: State) -> dict[str, Tensor]:
    """The state dict without `fc`."""
    return {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}


def numbered(state: State) -> dict[str, Tensor]:
    """The keys of `nn.Sequential(*network.children())`."""
    parts = ((key.partition("."), tensor) for key, tensor in state.items())
    return {f"{CHILDREN.index(child)}.{rest}": tensor for (child, _, rest), tensor in parts}


def robustness(state: State, *, inner: str = "") -> dict[str, Tensor]:
    """MadryLab's AttackerModel in DataParallel: the network, its normalizer, and both once more below the attacker."""
    network = prefixed(f"model.{inner}", state)
    buffers = {"new_mean": MEAN_C11, "new_std": STD_C11}
    attacker = prefixed("attacker.", network) | prefixed("attacker.normalize.", buffers)
    return prefixed("module.", prefixed("normalizer.", buffers) | network | attacker)


def projector(prefix: str) -> dict[str, Tensor]:
    """A head that self-supervised training leaves behind."""
    return {f"{prefix}0.weight": torch.ones(8, 8), f"{prefix}2.weight": torch.ones(4, 8)}


def lightning(state: State) -> dict[str, Any]:
    """A checkpoint of PyTorch Lightning."""
    return {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.0", "state_dict": state, "loops": {}}


def cohen(state: State, arch: str) -> dict[str, Any]:
    """A checkpoint of Cohen's training script."""
    momentum = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    return {"epoch": 90, "arch": arch, "state_dict": state, "optimizer": momentum}


@dataclass(frozen=True)
class Case:
    """One way to write a network: `make` gives what the file holds.

    One case of each format writes a ResNet-50. The others differ from it in the names around the network's: they write
    the small network, or a ResNet-18 where the file names one.
    """

    name: str
    format: str
    make: Callable[[State], dict[str, Any]]
    has_head: bool = True
    tells_normalization: bool = False
    is_detected: bool = True
    architecture: str = SMALL


CASES = (
    Case("torchvision", "torchvision", dict, architecture="resnet50"),
    Case("torchvision-script", "torchvision", lambda s: {"model": s, "epoch": 1, "lr_scheduler": {"last_epoch": 1}}),
    Case("timm", "timm", dict, is_detected=False, architecture="resnet50"),
    Case(
        "timm-ema",
        "timm",
        lambda s: {"arch": "resnet18", "state_dict_ema": s, "state_dict": zeros(s)},
        architecture="resnet18",
    ),
    Case(
        "madry",
        "madry",
        lambda s: {"model": robustness(s), "epoch": 9, "schedule": None},
        tells_normalization=True,
        architecture="resnet50",
    ),
    Case("madry-legacy", "madry", lambda s: {"state_dict": robustness(s)}, tells_normalization=True),
    Case("madry-custom-forward", "madry", lambda s: {"model": robustness(s, inner="model.")}, tells_normalization=True),
    Case("madry-converted", "madry", robustness, tells_normalization=True),
    Case("cohen", "cohen", lambda s: cohen(prefixed("1.module.", s), "resnet50"), architecture="resnet50"),
    Case("consistency-one-gpu", "cohen", lambda s: cohen(prefixed("1.", s), "resnet18"), architecture="resnet18"),
    Case("macer", "macer", lambda s: {"net": s, "epoch": 4}, architecture="resnet50"),
    Case("crt", "crt", lambda s: {"epoch": 1, "state_dict": prefixed("1.", s)}, architecture="resnet50"),
    Case(
        "mair",
        "mair",
        lambda s: {
            "rmodel": prefixed("model.", s)
            | {"n_classes": torch.tensor(1000), "mean": MEAN_C11[None], "std": STD_C11[None]},
            "record_info": {"Epoch": 1},
        },
        tells_normalization=True,
        architecture="resnet50",
    ),
    Case(
        "mair-parallel",
        "mair",
        lambda s: {"rmodel": prefixed("model.module.", s) | {"mean": MEAN_C11, "std": STD_C11}},
        tells_normalization=True,
    ),
    Case(
        "vissl",
        "vissl",
        lambda s: {
            "phase_idx": 99,
            "classy_state_dict": {
                "base_model": {
                    "model": {"trunk": prefixed("_feature_blocks.", without_head(s)), "heads": projector("0.clf.")},
                    "meta": {},
                }
            },
        },
        has_head=False,
        architecture="resnet50",
    ),
    Case(
        "vissl-model-state-dict",
        "vissl",
        lambda s: {"model_state_dict": prefixed("trunk._feature_blocks.", without_head(s)) | projector("heads.")},
        has_head=False,
    ),
    Case("vissl-plain-names", "vissl", lambda s: {"model_state_dict": without_head(s)}, has_head=False),
    Case("vissl-bare", "vissl", lambda s: prefixed("_feature_blocks.", without_head(s)), has_head=False),
    Case("lightly", "lightly", lambda s: numbered(without_head(s)), has_head=False),
    Case("lightly-whole", "lightly", numbered, architecture="resnet50"),
    Case(
        "lightly-lightning",
        "lightly",
        lambda s: lightning(prefixed("backbone.", numbered(without_head(s))) | projector("projection_head.layers.")),
        has_head=False,
    ),
    Case(
        "solo-learn",
        "solo-learn",
        lambda s: lightning(prefixed("backbone.", without_head(s)) | projector("projector.")),
        has_head=False,
        architecture="resnet50",
    ),
    Case(
        "solo-learn-encoder",
        "solo-learn",
        lambda s: lightning(prefixed("encoder.", without_head(s)) | projector("momentum_projector.")),
        has_head=False,
    ),
    Case("robustbench", "robustbench", lambda s: prefixed("module.", s), architecture="resnet50"),
    Case("robustbench-bare", "robustbench", dict, is_detected=False),
    Case("robustbench-state-dict", "robustbench", lambda s: {"state_dict": prefixed("model.", s)}),
    Case("robustbench-last-and-best", "robustbench", lambda s: {"last": s, "best": zeros(s)}),
    Case(
        "robustbench-normalizer",
        "robustbench",
        lambda s: prefixed("model.", s) | {"normalize.mean": MEAN_C11[None], "normalize.std": STD_C11[None]},
        tells_normalization=True,
    ),
    Case("compiled", "other", lambda s: {"state_dict": prefixed("_orig_mod.", s)}, architecture="resnet50"),
)


def zeros(state: State) -> dict[str, Tensor]:
    """The same tensors with other values."""
    return {key: torch.zeros_like(tensor) for key, tensor in state.items()}


def names_of(cases: Iterable[Case]) -> list[str]:
    """For pytest's ids."""
    return [case.name for case in cases]
