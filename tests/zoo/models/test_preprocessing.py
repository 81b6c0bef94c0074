"""From a picture to the certified tensor."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from zoo.models.preprocessing import padded_window, prepare, to_bytes_CHW
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


def padded(side):
    return Preprocessing(resize=side, crop=side, fit="pad")


@pytest.mark.parametrize(
    ("width", "height"), [(300, 200), (200, 300), (64, 80), (1000, 257), (20, 61), (7, 5), (90, 30)]
)
def test_a_padded_picture_is_whole_and_undistorted_at_the_centre_of_a_white_square(width, height):
    image, longer = picture(width, height), max(width, height)
    columns, rows = round(width * 48 / longer), round(height * 48 / longer)
    expected = Image.new("RGB", (48, 48), "white")
    resized = image.resize((columns, rows), Image.Resampling.BILINEAR)
    expected.paste(resized, ((48 - columns) // 2, (48 - rows) // 2))
    assert torch.equal(to_bytes_CHW(image, padded(48)), v2.functional.pil_to_tensor(expected))


@pytest.mark.parametrize("side", [20, 32, 77])
def test_a_square_picture_is_the_same_tensor_padded_and_cropped(side):
    cropped = to_bytes_CHW(picture(side, side), Preprocessing(resize=32, crop=32))
    assert torch.equal(to_bytes_CHW(picture(side, side), padded(32)), cropped)


@pytest.mark.parametrize("size", [(1000, 1), (1, 1000), (16_384, 1), (3, 3000), (1, 1)])
def test_an_extreme_strip_is_padded_to_at_least_one_line_of_pixels(size):
    x_CHW = prepare(Image.new("RGB", size, "black"), padded(224))
    assert x_CHW.shape == (3, 224, 224) and int((x_CHW == 0).sum()) == 3 * 224 * (224 if size == (1, 1) else 1)


def test_a_window_of_a_padded_picture_is_a_part_of_it_at_the_same_place():
    """The left half of the white square of an 80 x 40 picture shows its left half between two white bars."""
    image = picture(80, 40)
    window = padded_window(image, padded(40), top=20, left=0, height=40, width=40)
    assert window.tobytes() == image.crop((0, 0, 40, 40)).tobytes()
    window = np.asarray(padded_window(image, padded(40), top=0, left=0, height=80, width=40))
    assert (window[:10] == 255).all() and (window[30:] == 255).all() and not (window[10:30] == 255).all(axis=1).any()
