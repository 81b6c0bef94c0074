"""The base classifier f: noisy pixels to classes. One protocol, whatever runs the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo.errors import CertificationError

Pixels = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]


class BaseClassifier(Protocol):
    """f, which the smoothed classifier asks about noisy copies."""

    @property
    def name(self) -> str:
        """What computed, as it stands in certification logs, for example `torch-cpu-float32`."""
        ...

    @property
    def num_classes(self) -> int: ...

    def classify(self, x_BCHW: Pixels) -> Classes:
        """The class of each image. Raises: CertificationError if a logit is not finite or the shape is wrong."""
        ...


class TorchBackend:
    """A PyTorch callable `x_BCHW -> logits_BK` on one device, in float32."""

    def __init__(
        self, base: Callable[[Tensor], Tensor], *, num_classes: int, device: torch.device | str | None = None
    ) -> None:
        """`device` defaults to that of the module's parameters; a module is moved to it."""
        if device is None:
            parameter = next(base.parameters(), None) if isinstance(base, nn.Module) else None
            device = "cpu" if parameter is None else parameter.device
        self.device = torch.device(device)
        self.base = base.to(self.device) if isinstance(base, nn.Module) else base
        self.num_classes = num_classes
        self.name = f"torch-{self.device.type}-float32"

    def classify(self, x_BCHW: Pixels) -> Classes:
        mode = evaluating(self.base) if isinstance(self.base, nn.Module) else nullcontext()
        with mode, torch.inference_mode():
            logits_BK = self.base(torch.from_numpy(x_BCHW).to(self.device))
            expected = (len(x_BCHW), self.num_classes)
            if logits_BK.shape != expected:
                raise CertificationError(f"the base classifier answered {tuple(logits_BK.shape)}, expected {expected}")
            if not bool(logits_BK.isfinite().all()):
                raise CertificationError("the base classifier answered logits that are not finite")
            classes_B: Classes = logits_BK.argmax(dim=1).cpu().numpy()
            return classes_B


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every module is in its own former mode."""
    were_training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in were_training:
            module.training = True
