"""The default number of loader processes depends on the device, the cores, the images and the shared memory."""

import pytest
import torch

from training.tasks import loader_workers
from training.tasks.loader_workers import num_loader_workers

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch):
    monkeypatch.setattr(loader_workers, "num_cores", lambda: 16)
    monkeypatch.setattr(loader_workers, "_free_bytes", lambda folder: 2**34)


@pytest.mark.parametrize(
    ("num_images", "num_processes", "expected"), [(10**6, 1, 8), (10**6, 4, 3), (10**6, 16, 0), (50, 1, 3), (15, 1, 0)]
)
def test_a_gpu_gets_processes_as_far_as_there_are_cores_and_images(num_images, num_processes, expected):
    assert num_loader_workers(GPU, num_images=num_images, num_processes=num_processes) == expected


def test_a_cpu_and_a_container_with_little_shared_memory_get_none(monkeypatch):
    assert num_loader_workers(torch.device("cpu"), num_images=10**6) == 0
    monkeypatch.setattr(loader_workers, "_free_bytes", lambda folder: 2**26)
    assert num_loader_workers(GPU, num_images=10**6) == 0


def test_a_machine_without_a_folder_of_shared_memory_has_none_free(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert loader_workers._free_bytes(tmp_path / "none") == 0 < loader_workers._free_bytes(tmp_path)
