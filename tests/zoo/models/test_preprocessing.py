"""From a picture to the certified tensor."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from zoo.models.preprocessing import prepare, to_bytes_CHW
from zoo.models.spec import Preprocessing


def picture(width, height, mode="RGB"):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (256, 256), (64, 80), (1000, 257)])
def test_it_is_a_resize_of_the_shorter_side_and_a_centre_crop(width, height):
    image = picture(width, height)
    scale = 64 / min(width, height)
    size = (max(round(height * scale), 64), max(round(width * scale), 64))
    resized = v2.functional.resize(image, size, antialias=True)
    left, top = (size[1] - 48) // 2, (size[0] - 48) // 2
    expected = v2.functional.pil_to_tensor(resized.crop((left, top, left + 48, top + 48))).int()
    ours = to_bytes_CHW(image, Preprocessing(resize=64, crop=48)).int()
    # One 8-bit step where Pillow rounds the filter of a part otherwise than that of the whole.
    assert (ours - expected).abs().max() <= 1


def test_a_picture_of_the_right_size_is_only_divided_by_255():
    image = picture(32, 32)
    x_CHW = prepare(image, Preprocessing(resize=32, crop=32))
    assert x_CHW.dtype == torch.float32
    assert torch.equal(x_CHW, v2.functional.pil_to_tensor(image).float() / 255)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_other_modes_become_three_channels_in_the_unit_range(mode):
    image = picture(20, 30).convert("L").convert("LA") if mode == "LA" else picture(20, 30, mode)
    x_CHW = prepare(image, Preprocessing(resize=16, crop=16))
    assert x_CHW.shape == (3, 16, 16) and x_CHW.min() >= 0 and x_CHW.max() <= 1


def test_an_extreme_strip_costs_no_more_than_its_crop():
    x_CHW = prepare(Image.new("L", (60_000, 1), 255), Preprocessing(resize=256, crop=224))
    assert x_CHW.shape == (3, 224, 224) and bool((x_CHW == 1).all())
