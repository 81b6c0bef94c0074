"""Bytes and files: decoded if they are an image of acceptable size, refused with the right status if not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ImageError
from zoo.models import decoding
from zoo.models.decoding import FORMATS, MAX_SCANS, MAX_SIDE, SUFFIXES, decode_image, num_pixels, read_picture, to_rgb

CAP = 10_000


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


GRAY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60), dtype=np.uint8))


@pytest.mark.parametrize("kind", FORMATS)
def test_common_formats_are_decoded(kind):
    assert decode_image(encoded(GRAY, kind), max_pixels=CAP).size == (60, 50)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 400, "empty"),
        (b"hello", 415, "not an image"),
        (b'{"instances": [', 415, "not an image"),
        (encoded(GRAY)[:1500], 422, "truncated"),
        (encoded(GRAY, "JPEG")[:700], 422, "truncated"),
        (encoded(Image.new("1", (101, 100))), 413, "more than 10,000 pixels"),
        (lambda: encoded(Image.new("1", (20_000, 20_000))), 413, "more than 10,000 pixels"),
        (encoded(Image.fromarray(np.zeros((5, 5), dtype=np.uint16))), 415, "more than 8 bits"),
    ],
)
def test_what_is_no_acceptable_image_is_refused_with_a_sentence(data, status, said):
    with pytest.raises(ImageError, match=said) as refused:
        decode_image(data() if callable(data) else data, max_pixels=CAP)
    assert refused.value.http_status == status


@pytest.mark.parametrize(
    ("size", "max_pixels"), [((13_000, 13_000), CAP), ((1, MAX_SIDE + 1), 10**8), ((MAX_SIDE + 1, 1), 10**8)]
)
def test_a_huge_or_long_image_is_refused_from_its_header_alone(size, max_pixels, monkeypatch):
    data = encoded(Image.new("1", size))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    for read in (decode_image, num_pixels):
        with pytest.raises(ImageError, match="pixels") as refused:
            read(data, max_pixels=max_pixels)
        assert refused.value.http_status == 413


def test_the_number_of_pixels_is_read_from_the_header_alone(monkeypatch):
    data = encoded(Image.new("1", (MAX_SIDE, 3)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    assert num_pixels(data) == 3 * MAX_SIDE


def png_of_16_bits(color_type, channels):
    """A PNG as Pillow cannot write it."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 2, 2, 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(2 * channels * 2)) for _ in range(2))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_are_refused_also_where_pillow_would_cut_them_silently(color_type, channels):
    with pytest.raises(ImageError, match="more than 8 bits") as refused:
        decode_image(png_of_16_bits(color_type, channels), max_pixels=CAP)
    assert refused.value.http_status == 415


def test_a_bitmap_with_five_or_six_bits_a_channel_is_decoded():
    header = b"BM" + struct.pack("<IHHI", 66 + 8, 0, 0, 66)
    info = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x07E0, 0x1F)
    image = decode_image(header + info + struct.pack("<4H", *[0xF800] * 4), max_pixels=CAP)
    assert image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_exif_orientation_is_applied(orientation, kind):
    shown = np.kron(np.array([[0, 80], [160, 240], [40, 200]], dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
    turn_back = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
        6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(turn_back[orientation](shown)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, format=kind, exif=exif, quality=100)
    decoded = np.asarray(decode_image(buffer.getvalue(), max_pixels=CAP).convert("L")).astype(int)
    assert decoded.shape == (24, 16) and np.abs(decoded - shown).max() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode):
    black_and_clear = (0, 0, 0, 0) if mode == "RGBA" else (0, 0)
    half = (0, 0, 0, 128) if mode == "RGBA" else (0, 128)
    for pixel, expected in ((black_and_clear, 255), (half, 127)):
        assert decode_image(encoded(Image.new(mode, (2, 2), pixel)), max_pixels=CAP).getpixel((0, 0)) == (expected,) * 3


def test_a_transparent_colour_of_a_palette_is_white_and_the_others_keep_their_colour():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=0)
    decoded = decode_image(buffer.getvalue(), max_pixels=CAP)
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]


@pytest.mark.parametrize(
    ("mode", "kind", "pixel", "expected"),
    [
        ("1", "PNG", 1, (255, 255, 255)),
        ("L", "PNG", 77, (77, 77, 77)),
        ("CMYK", "TIFF", (0, 255, 255, 0), (255, 0, 0)),
        ("CMYK", "JPEG", (0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_other_colours_become_rgb(mode, kind, pixel, expected):
    image = decode_image(encoded(Image.new(mode, (8, 8), pixel), kind), max_pixels=CAP)
    assert image.mode == "RGB" and np.abs(np.subtract(image.getpixel((0, 0)), expected)).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, format=kind, save_all=True, append_images=frames[1:])
    assert np.abs(np.subtract(decode_image(buffer.getvalue(), max_pixels=CAP).getpixel((4, 4)), (255, 0, 0))).max() <= 2


def test_a_jpeg_with_more_scans_than_any_camera_makes_is_refused_before_it_is_decoded(monkeypatch):
    usual = io.BytesIO()
    GRAY.save(usual, format="JPEG", progressive=True)
    assert decode_image(usual.getvalue(), max_pixels=CAP).size == (60, 50)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode_image(usual.getvalue()[:-2] + b"\xff\xda" * (MAX_SCANS + 1), max_pixels=CAP)


def test_a_file_is_read_as_the_same_bytes_would_be_over_http(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(GRAY))
    assert np.array_equal(read_picture(tmp_path / "a.png"), decode_image(encoded(GRAY), max_pixels=CAP))
    for name, content in {"nothing.png": None, "text.png": b"no picture", "empty.png": b""}.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name):
            read_picture(str(tmp_path / name))


@pytest.mark.parametrize("content", [b"P3 1 1 255 1 2 3", b"P5 1 1 100 a", b"P6 1 1 127 abc", b"P1 1 1 1"])
def test_a_ppm_that_pillow_decodes_in_python_is_refused_before_it_is_decoded(content, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="a PPM must be binary with the maximum 255") as refused:
        decode_image(content, max_pixels=CAP)
    assert refused.value.http_status == 415


@pytest.mark.parametrize("content", [b"P5 1 1 65535 ab", b"P6 1 1 65535 abcdef", b"Pf 1 1 1 abcd"])
def test_a_ppm_of_more_than_8_bits_is_refused(content):
    with pytest.raises(ImageError) as refused:
        decode_image(content, max_pixels=CAP)
    assert refused.value.http_status == 415


def pictures_of_pillow():
    """Encoded pictures that Pillow's own conversion to RGB would take otherwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    GRAY.save(turned, format="JPEG", exif=exif)
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    shown_through = io.BytesIO()
    palette.save(shown_through, format="PNG", transparency=0)
    return [turned.getvalue(), encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0))), shown_through.getvalue()]


@pytest.mark.parametrize("data", pictures_of_pillow())
@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_picture_that_pillow_opened_is_treated_as_its_bytes(data, is_loaded):
    picture = Image.open(io.BytesIO(data))
    if is_loaded:
        picture.load()
    assert not np.array_equal(picture.convert("RGB"), decode_image(data, max_pixels=CAP))
    assert np.array_equal(to_rgb(picture), decode_image(data, max_pixels=CAP))


def test_an_opened_picture_is_refused_as_its_bytes_are(monkeypatch):
    with pytest.raises(ImageError, match="more than 8 bits"):
        to_rgb(Image.open(io.BytesIO(png_of_16_bits(2, 3))))
    with pytest.raises(ImageError, match="truncated"):
        to_rgb(Image.open(io.BytesIO(encoded(GRAY)[:1500])))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2_999)
    with pytest.raises(ImageError, match="more than 2,999 pixels"):
        to_rgb(GRAY)


def test_no_limit_of_a_caller_lifts_the_cap_of_the_decoder(monkeypatch, tmp_path):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2_999)
    (tmp_path / "a.png").write_bytes(encoded(GRAY))
    for decode in (lambda: decode_image(encoded(GRAY), max_pixels=CAP), lambda: read_picture(tmp_path / "a.png")):
        with pytest.raises(ImageError, match="more than 2,999 pixels") as refused:
            decode()
        assert refused.value.http_status == 413


def test_the_names_of_pictures_are_those_that_pillow_gives_their_formats():
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert set(SUFFIXES) - known == set()
