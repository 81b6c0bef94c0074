"""Networks that are written once, and no gigabytes left behind."""

import shutil

import pytest

from tests.zoo.importing.foreign_files import SMALL, random_network
from zoo.models.resnets import QuarterResNet


@pytest.fixture(scope="session")
def resnet50():
    """One random ResNet-50 with ImageNet's 1,000 classes."""
    return random_network("resnet50", num_classes=1000)


@pytest.fixture(scope="session")
def quarter():
    """A small one with 7 classes, for what does not depend on the size."""
    return random_network(SMALL, num_classes=7)


@pytest.fixture(autouse=True)
def clean(tmp_path):
    """Removes what a test wrote: pytest would keep the files of three sessions."""
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
def small():
    """Our own small network under torchvision's key names, with 4 classes: half a megabyte."""
    return QuarterResNet(4).eval()
