"""Names of devices: the GPUs and MIG instances that CUDA shows are counted, and other names are refused."""

import pytest
import torch

from serving.front.model_loading import device_of
from zoo.errors import RequestError
from zoo.loading.device import pick_device

MIG = "MIG-3c8a5e40-7f0b-5c0e-9d43-1f2ab0c0d001"


@pytest.fixture
def one_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_visible_mig_instance_is_a_gpu_with_a_number(one_gpu, monkeypatch, name):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", MIG)
    assert pick_device(name).type == "cuda"


def test_a_gpu_that_is_not_visible_does_not_exist(one_gpu, monkeypatch):
    with pytest.raises(RequestError, match=r"--device cuda:1 does not exist: this machine has 1 CUDA device\(s\)$"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-gone")
    with pytest.raises(RequestError, match="does not exist: CUDA_VISIBLE_DEVICES=MIG-gone leaves 0 CUDA"):
        pick_device("cuda:0")


@pytest.mark.parametrize("name", [MIG, "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"])
def test_a_name_of_cuda_is_refused_with_the_way_to_give_it(name):
    with pytest.raises(RequestError, match=f"got '{name}': set CUDA_VISIBLE_DEVICES={name} and give --device cuda$"):
        pick_device(name)


def test_a_worker_whose_gpu_does_not_exist_says_so(one_gpu):
    assert device_of({"deviceType": "gpu", "deviceIds": [0]}) == "cuda:0"
    with pytest.raises(RequestError, match="--device cuda:3 does not exist"):
        device_of({"deviceType": "gpu", "deviceIds": [3]})
