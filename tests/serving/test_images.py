"""Request bytes: decoded if they are an image of acceptable size, refused with the right status if not."""

import io

import numpy as np
import pytest
from PIL import Image

from serving.images import decode_image
from zoo.errors import ImageError

CAP = 10_000


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


GRAY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_common_formats_are_decoded(kind):
    assert decode_image(encoded(GRAY, kind), max_pixels=CAP).size == (60, 50)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 400, "empty"),
        (b"hello", 415, "no image"),
        (b'{"instances": [', 415, "no image"),
        (encoded(GRAY)[:1500], 422, "truncated"),
        (encoded(GRAY, "JPEG")[:700], 422, "truncated"),
        (encoded(Image.new("1", (101, 100))), 413, "more than 10,000 pixels"),
        (encoded(Image.new("1", (20_000, 20_000))), 413, "more than 10,000 pixels"),
        (encoded(Image.fromarray(np.zeros((5, 5), dtype=np.uint16))), 415, "more than 8 bits"),
    ],
)
def test_what_is_no_acceptable_image_is_refused_with_a_sentence(data, status, said):
    with pytest.raises(ImageError, match=said) as refused:
        decode_image(data, max_pixels=CAP)
    assert refused.value.http_status == status


def test_a_huge_image_is_refused_from_its_header_alone(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="pixels"):
        decode_image(encoded(Image.new("1", (13_000, 13_000))), max_pixels=CAP)
