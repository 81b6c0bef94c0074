"""An export changes nothing of the program that calls it."""

import logging
import random
import warnings

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401 # the import adds filters of warnings, and the export of some networks imports it
from torch import nn

from zoo.export.cached_export import specialized_export
from zoo.export.onnx import export_network
from zoo.export.quantization import quantize


class Unexportable(nn.Module):
    def forward(self, x_BCHW):
        return torch.zeros(1) if float(x_BCHW.sum()) > 0 else x_BCHW


# What the exporter and the quantizer leave behind does not depend on the network.
NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def int8(_):
    batches = [torch.zeros(2, 3, 32, 32)]
    exported = export_network(NETWORK, size=32)
    return quantize(exported, num_classes=10, calibrating=batches, compared=batches, facts={})


EXPORTS = {
    "specialized": specialized_export,
    "int8": int8,
    "fails": lambda checkpoint: export_network(Unexportable(), size=32),
}


@pytest.fixture
def root_logger(monkeypatch):
    """The root logger of a program that has not set logging up, but for its level."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    return root


def host_state(root):
    return {
        "root logger": (root.level, list(root.handlers), list(root.filters), root.disabled),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "torch's random numbers": torch.get_rng_state().tolist(),
        "numpy's random numbers": np.random.get_state()[1].tolist(),
        "Python's random numbers": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "modes": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()),
        "precision": (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark),
    }


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_leaves_the_host_program_as_it_was(name, root_logger, digits_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    levels, real = [], torch.onnx.export

    def export(*words, **named):
        levels.append(root_logger.level)
        return real(*words, **named)

    monkeypatch.setattr(torch.onnx, "export", export)
    before = host_state(root_logger)
    if name == "fails":
        with pytest.raises(Exception):  # noqa: B017 # of the exporter
            EXPORTS[name](digits_checkpoint)
    else:
        EXPORTS[name](digits_checkpoint)
    assert host_state(root_logger) == before
    assert levels == [logging.DEBUG], "meanwhile the host program's other threads go on logging"
