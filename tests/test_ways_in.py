"""One picture is one tensor, or is refused alike, whatever way it comes in."""

import base64
import io
import struct
import zlib
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from serving.service.local import ask_service
from tests.serving.toy import CROP, PADDED_TOY, TOY, FirstPixel, toy_service
from training.evaluation.certification import certified_rows
from training.evaluation.certification_log import CertificationRun
from training.tasks import open_task
from training.tasks.loading import EvaluationImages, TrainingImages, loaded_batches
from zoo.errors import RequestError
from zoo.models.preprocessing import to_pixels
from zoo.models.transforms import Transforms
from zoo.smoothing import CertificationEngine, SamplingOptions, SmoothingSpec

PREPROCESSING = TOY.preprocessing
RNG = np.random.default_rng(0)
COLOURS = Image.fromarray(RNG.integers(0, 256, (30, 44, 3), dtype=np.uint8))
GRAY = COLOURS.convert("L")


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def turned(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(COLOURS, kind, exif=exif)


def with_alpha(mode):
    image = COLOURS.convert(mode)
    image.putalpha(GRAY)
    return image


def palette_with_alpha():
    """Every colour of the palette has an opacity of its own."""
    return encoded(COLOURS.quantize(16), transparency=bytes(range(0, 256, 16)))


def png_of_16_bits(color_type, channels):
    """A PNG as Pillow cannot write it."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header, row = struct.pack(">IIBBBBB", 20, 20, 16, color_type, 0, 0, 0), b"\0" + bytes(20 * channels * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 20)) + chunk(b"IEND", b"")


def animated(kind, suffix="RGB"):
    frames = [COLOURS.convert(suffix), GRAY.convert(suffix)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


ACCEPTED = {
    **{f"exif-{place}.jpg": turned(place, "JPEG") for place in range(1, 9)},
    **{f"exif-{place}.png": turned(place, "PNG") for place in range(1, 9)},
    "exif-6.webp": turned(6, "WEBP"),
    "alpha.png": encoded(with_alpha("RGB")),
    "alpha.webp": encoded(with_alpha("RGB"), "WEBP", lossless=True),
    "alpha.tif": encoded(with_alpha("RGB"), "TIFF"),
    "gray-alpha.png": encoded(with_alpha("L")),
    "palette.png": encoded(COLOURS.quantize(16)),
    "palette-one-clear.png": encoded(COLOURS.quantize(16), transparency=3),
    "palette-alpha.png": palette_with_alpha(),
    "palette-clear.gif": encoded(COLOURS.quantize(16), "GIF", transparency=3),
    "one-colour-clear.png": encoded(COLOURS, transparency=COLOURS.getpixel((0, 0))),
    "one-gray-clear.png": encoded(GRAY, transparency=GRAY.getpixel((0, 0))),
    "cmyk.jpg": encoded(COLOURS.convert("CMYK"), "JPEG"),
    "cmyk.tif": encoded(COLOURS.convert("CMYK"), "TIFF"),
    "gray.jpg": encoded(GRAY, "JPEG"),
    "progressive.jpg": encoded(COLOURS, "JPEG", progressive=True),
    "two-pictures.jpg": encoded(COLOURS, "MPO", save_all=True, append_images=[GRAY.convert("RGB")]),
    "bit.png": encoded(GRAY.convert("1")),
    "plain.bmp": encoded(COLOURS, "BMP"),
    "plain.ppm": encoded(COLOURS, "PPM"),
    "gray.pgm": encoded(GRAY, "PPM"),
    "animated.gif": animated("GIF"),
    "animated.webp": animated("WEBP"),
    "animated.png": animated("PNG", "RGBA"),
    "pages.tif": animated("TIFF"),
    "tall.png": encoded(COLOURS.resize((8, 400))),
    "wide.jpg": encoded(COLOURS.resize((1500, 30)), "JPEG"),
}
REFUSED = {
    "deep.png": encoded(Image.fromarray(np.zeros((9, 9), dtype=np.uint16))),
    "deep.tif": encoded(Image.fromarray(np.zeros((9, 9), dtype=np.float32)), "TIFF"),
    "deep-colours.png": png_of_16_bits(2, 3),
    "deep-gray-alpha.png": png_of_16_bits(4, 2),
    "deep-alpha.png": png_of_16_bits(6, 4),
    "text.ppm": b"P3 1 1 255 1 2 3",
    "cut.png": encoded(COLOURS)[:1000],
    "text.jpg": b"no picture",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two classes: the test pictures are the fifty, the training pictures plain."""
    root = tmp_path_factory.mktemp("pictures")
    for name, content in {**ACCEPTED, **REFUSED}.items():
        for path in (root / "test" / "a" / name, root / "train" / "a" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for part in ("train", "test"):
        (root / part / "b").mkdir()
        (root / part / "b" / "plain.png").write_bytes(encoded(COLOURS))
    return root


class AdmittedError(BaseException):
    """Ends a way in where the engine would begin to draw."""


@pytest.fixture
def ways(ways_to):
    """The ways in to a model that crops."""
    return ways_to(TOY)


@pytest.fixture
def ways_to(folder, tmp_path, monkeypatch):
    """A model's ways in: per way, a function from a picture's name to the tensor that it puts before the network."""
    return partial(ways_in, folder, tmp_path, monkeypatch)


def ways_in(folder, tmp_path, monkeypatch, spec):
    preprocessing = spec.preprocessing
    task = open_task(f"imagefolder:{folder}", data_dir=tmp_path)
    place = {path.rpartition("/")[2]: index for index, path in enumerate(task.test.paths)}

    def admit(engine, job):
        raise AdmittedError(job)

    monkeypatch.setattr(CertificationEngine, "admit", admit)
    run = CertificationRun(
        model_sha256="ab", preprocessing=preprocessing, task=task.name, data=task.digest, backend="first-pixel",
        smoothing=SmoothingSpec(sigma=0.25, n0=10, n=20), batch_size=None, seed=0,
    )  # fmt: skip

    def service():
        return toy_service(spec=spec, max_pixels=100_000)

    def admitted(ask):
        with pytest.raises(AdmittedError) as ended:
            ask()
        return torch.as_tensor(ended.value.args[0].x_CHW)

    def certify(name):
        return admitted(lambda: list(certified_rows(
            run, FirstPixel(), task.test, [place[name]], options=SamplingOptions(batch_size=8)
        )))  # fmt: skip

    def by_http(name):
        body = {"instances": [{"b64": base64.b64encode((folder / "test" / "a" / name).read_bytes()).decode()}]}
        return admitted(lambda: raise_refusal(service().step({0: {"body": body}})[0]))

    def predict(name):
        return admitted(lambda: ask_service(service(), (folder / "test" / "a" / name).read_bytes(), {}))

    path_of = folder.joinpath("test", "a").joinpath
    return {
        "evaluate": lambda name: to_pixels(EvaluationImages(task.test, preprocessing)[place[name]][0]),
        "train": lambda name: to_pixels(TrainingImages(task.train, preprocessing, "none", seed=0)[place[name]][0]),
        "certify": certify,
        "predict": predict,
        "HTTP": by_http,
        "Python, by path": lambda name: Transforms(preprocessing)(path_of(name)),
        "Python, by Pillow": lambda name: Transforms(preprocessing)(Image.open(path_of(name))),
    }


def raise_refusal(reply):
    if reply.status >= 400:
        raise RequestError(reply.body["message"])


def test_there_are_fifty_pictures():
    assert len(ACCEPTED) + len(REFUSED) == 50


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_picture_is_one_tensor_on_every_way_in(name, ways):
    tensors = {way: x_CHW_of(name) for way, x_CHW_of in ways.items()}
    assert {way for way, x_CHW in tensors.items() if not torch.equal(x_CHW, tensors["HTTP"])} == set()
    assert tensors["HTTP"].shape == (3, CROP, CROP)


@pytest.mark.parametrize("name", ["exif-6.jpg", "alpha.png", "tall.png", "wide.jpg"])
def test_a_padded_picture_is_one_tensor_on_every_way_in(name, ways_to):
    tensors = {way: x_CHW_of(name) for way, x_CHW_of in ways_to(PADDED_TOY).items()}
    assert {way for way, x_CHW in tensors.items() if not torch.equal(x_CHW, tensors["HTTP"])} == set()
    assert tensors["HTTP"].shape == (3, CROP, CROP) and not torch.equal(tensors["HTTP"], ways_to(TOY)["HTTP"](name))


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_picture_is_refused_on_every_way_in_with_the_same_words(name, ways):
    said = {}
    for way, x_CHW_of in ways.items():
        if way == "Python, by Pillow" and name in ("text.jpg", "text.ppm"):
            continue  # Pillow itself opens or refuses them
        with pytest.raises(RequestError) as refused:
            x_CHW_of(name)
        said[way] = str(refused.value).rpartition(f"{name}: ")[2]
    assert set(said.values()) == {said["HTTP"]}


@pytest.mark.parametrize("way", ["evaluate", "train", "certify", "Python, by path"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_picture_of_a_data_set_is_named_with_its_path(name, way, ways):
    with pytest.raises(RequestError, match=rf"/a/{name}: ") as refused:
        ways[way](name)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_the_eight_orientations_show_one_picture_to_viewers_and_to_the_network(kind, ways):
    turns = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90,
    }  # fmt: skip
    stored = np.asarray(Image.open(io.BytesIO(ACCEPTED[f"exif-1.{kind}"])))
    for place, turn in turns.items():
        upright = Image.fromarray(np.ascontiguousarray(turn(stored)))
        assert torch.equal(ways["certify"](f"exif-{place}.{kind}"), Transforms(PREPROCESSING)(upright))


def test_clear_pixels_are_white_and_half_clear_ones_are_half_white(ways):
    alpha = np.asarray(GRAY, dtype=float)[..., None] / 255
    shown = np.asarray(COLOURS) * alpha + 255 * (1 - alpha)
    expected = Transforms(PREPROCESSING)(Image.fromarray(shown.round().astype(np.uint8)))
    for name in ("alpha.png", "alpha.webp", "alpha.tif"):
        assert (ways["certify"](name) - expected).abs().max() < 1.5 / 255


def test_a_refused_picture_is_told_in_one_sentence_from_a_worker_process_too(folder, tmp_path):
    task = open_task(f"imagefolder:{folder}", data_dir=tmp_path)
    place = next(index for index, path in enumerate(task.train.paths) if path.endswith("deep-colours.png"))
    images = TrainingImages(task.train, PREPROCESSING, "none", seed=0)
    loader = torch.utils.data.DataLoader(images, batch_sampler=[[place]], num_workers=1)
    with pytest.raises(zoo.errors.ImageError) as refused:
        list(loaded_batches(loader))
    path = task.train.paths[place]
    assert str(refused.value) == f"{path}: the image has more than 8 bits per channel: convert it to 8 bits first"
