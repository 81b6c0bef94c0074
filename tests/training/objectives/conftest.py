"""What most tests of objectives start from: four fixed images, two networks, and a late epoch."""

import pytest
import torch

from tests.training.objectives.samples import Normalized, Smooth
from training.objectives import Batch, Progress


@pytest.fixture
def batch() -> Batch:
    """Four images well inside the box, in no order; the smooth network gets all but the last right."""
    generator = torch.Generator().manual_seed(1)
    x_BCHW = 0.3 + 0.4 * torch.rand(4, 3, 5, 5, generator=generator, dtype=torch.float64)
    return Batch(x_BCHW, torch.tensor([2, 1, 0, 1]), torch.tensor([7, 0, 12, 3]))


@pytest.fixture
def edge_batch(batch: Batch) -> Batch:
    """The same, stretched until many pixels are at 0 or 1."""
    return Batch((batch.x_BCHW * 4 - 1.5).clamp(0, 1), batch.labels_B, batch.numbers_B)


@pytest.fixture
def smooth() -> Smooth:
    return Smooth()


@pytest.fixture
def normalized() -> Normalized:
    """In train mode."""
    return Normalized().train()


@pytest.fixture
def late() -> Progress:
    """After every warm-up."""
    return Progress(epochs=100.0)
