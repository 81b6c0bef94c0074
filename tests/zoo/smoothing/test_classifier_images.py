"""One image in, one answer out; several in, a list out: as tensors, pictures or paths, seeded or not."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.zoo.smoothing.test_classifier import half_space, rng
from zoo.errors import CertificationError, ImageError
from zoo.models.spec import Preprocessing
from zoo.models.transforms import Transforms
from zoo.smoothing import Certificate, SmoothedClassifier, SmoothingSpec, TorchBackend, Votes

SPEC = SmoothingSpec(sigma=0.25, n0=20, n=300)
NAMES = ("dark", "bright")
VALUES = (0.9, 0.1, 0.6, 0.55)


def classifier(**named):
    """Class 1, "bright", where the first pixel is above 0.5; takes pictures, as 3x4x4."""
    fields = {"transforms": Transforms(Preprocessing(resize=4, crop=4)), "class_names": NAMES, "smoothing": SPEC}
    return SmoothedClassifier(half_space(at=0.5), num_classes=2, **{**fields, **named})


def image(value, size=4):
    return torch.full((3, size, size), value)


@pytest.fixture
def batch():
    return torch.stack([image(value) for value in VALUES])


@pytest.mark.parametrize("ask", ["certify", "predict"])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_batch_is_answered_as_its_images_are_one_after_the_other(ask, batch_size, batch):
    g = classifier(batch_size=batch_size)
    generator = rng(5)
    one_by_one = [getattr(g, ask)(x_CHW, generator=generator) for x_CHW in batch]
    assert getattr(g, ask)(batch, generator=rng(5)) == one_by_one
    assert getattr(g, ask)(list(batch), generator=rng(5)) == one_by_one
    assert getattr(g, ask)(tuple(batch), generator=rng(5)) == one_by_one
    after = rng(5)
    getattr(g, ask)(batch, generator=after)
    assert torch.equal(after.get_state(), generator.get_state())
    assert one_by_one[2:] != [getattr(g, ask)(x_CHW, generator=rng(5)) for x_CHW in batch[2:]], "each has its own noise"


def test_a_batch_shares_its_forward_passes(batch):
    sizes = []

    def base(x_BCHW):
        sizes.append(len(x_BCHW))
        return half_space(at=0.5)(x_BCHW)

    g = SmoothedClassifier(base, num_classes=2, smoothing=SPEC, batch_size=100)
    g.certify(batch)
    assert sizes == [100] * 13  # 4 x 320 draws


def test_one_image_gets_one_answer_and_a_list_of_one_a_list():
    g = classifier()
    assert isinstance(g.certify(image(0.9)), Certificate) and isinstance(g.predict(image(0.9)), Votes)
    assert [type(answer) for answer in g.certify([image(0.9)])] == [Certificate]
    assert [type(answer) for answer in g.predict(image(0.9)[None])] == [Votes]
    assert g.certify([]) == [] and g.predict(()) == [] and g.certify(torch.zeros(0, 3, 4, 4)) == []


def test_without_a_generator_the_noise_is_fresh_whatever_is_seeded():
    g, counts = classifier(), set()
    state = torch.get_rng_state()
    for _ in range(8):
        torch.manual_seed(0)
        counts.add(g.certify(image(0.6)).count_a)
    torch.set_rng_state(state)
    assert len(counts) > 1  # equal with probability below 1e-6


def test_pictures_paths_and_tensors_mix_and_are_the_same_pixels(tmp_path):
    g = classifier()
    picture = Image.new("RGB", (8, 8), (230, 230, 230))
    picture.save(tmp_path / "bright.png")
    tensor = Transforms(Preprocessing(resize=4, crop=4))(picture)
    answers = [
        g.certify(each, generator=rng())
        for each in (tensor, picture, tmp_path / "bright.png", str(tmp_path / "bright.png"))
    ]
    assert answers == [answers[0]] * 4
    mixed = g.certify([tensor, picture, tmp_path / "bright.png"], generator=rng())
    assert [answer.class_name for answer in mixed] == ["bright"] * 3


def test_a_gray_picture_is_taken_as_its_colours():
    gray, colour = Image.new("L", (8, 8), 230), Image.new("RGB", (8, 8), (230, 230, 230))
    g = classifier()
    assert g.certify(gray, generator=rng()) == g.certify(colour, generator=rng())


def test_answers_name_their_class_where_the_names_are_known():
    g = classifier()
    assert (g.certify(image(0.9)).class_name, g.predict(image(0.1)).class_name) == ("bright", "dark")
    undecided = SmoothedClassifier(half_space(at=0.5), num_classes=2, smoothing=SPEC, class_names=NAMES)
    answers = undecided.certify(image(0.5), generator=rng()), undecided.predict(image(0.5), generator=rng())
    assert [(answer.label, answer.class_name, answer.abstained) for answer in answers] == [(None, None, True)] * 2
    nameless = classifier(class_names=())
    assert nameless.certify(image(0.9)).label == 1 and nameless.certify(image(0.9)).class_name is None


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(4, 4), r"an image must have shape \(channels, height, width\), and a batch .*, got \(4, 4\)"),
        (torch.zeros(1, 1, 3, 4, 4), r"got \(1, 1, 3, 4, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"floating-point tensor in \[0, 1\], got torch.uint8"),
        (torch.full((3, 4, 4), 255.0), "divide 8-bit values by 255"),
        (torch.full((3, 4, 4), float("nan")), "not finite"),
        (np.zeros((3, 4, 4)), "an image must be a tensor, a PIL picture or the path of an image file, got ndarray"),
        (None, "got NoneType"),
        (
            [torch.zeros(3, 4, 4), 7],
            "image 1: an image must be a tensor, a PIL picture or .*, got int",
        ),
        ([torch.zeros(3, 4, 4), [torch.zeros(3, 4, 4)]], "image 1: .*got list"),
        ([torch.zeros(3, 4, 4), torch.zeros(2, 3, 4, 4)], r"image 1: an image must have shape .* got \(2, 3, 4, 4\)"),
        (
            [torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)],
            r"image 1: .* the same shape, got \(3, 5, 4\) after \(3, 4, 4\)",
        ),
        (torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 2.0)]), r"image 1: pixels must be in \[0, 1\]"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(images, said):
    g = classifier()
    for ask in (g.certify, g.predict):
        with pytest.raises(CertificationError, match=said):
            ask(images, generator=rng())


def test_what_is_no_picture_is_refused_by_its_name(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    g = classifier()
    with pytest.raises(ImageError, match=r"text\.png: the data is not an image") as refused:
        g.certify(text)
    assert refused.value.http_status == 415
    with pytest.raises(ImageError, match=r"image 1: .*text\.png: the data is not an image") as refused:
        g.certify([image(0.9), str(text)])
    assert refused.value.http_status == 415
    with pytest.raises(ImageError, match=r"cannot read .*nothing\.png: No such file"):
        g.certify(str(tmp_path / "nothing.png"))
    with pytest.raises(ImageError, match=r"cannot read .*: Is a directory"):
        g.certify(tmp_path)
    with pytest.raises(ImageError, match="more than 8 bits per channel"):
        g.certify(Image.new("I;16", (8, 8)))


def test_a_picture_needs_transforms(tmp_path):
    g = classifier(transforms=None)
    with pytest.raises(CertificationError, match="has no transforms"):
        g.certify(tmp_path / "any.png")


def test_a_shape_that_the_network_does_not_take_is_refused():
    g = classifier(image_shape=(3, 4, 4))
    assert g.certify(image(0.9)).label == 1
    with pytest.raises(CertificationError, match=r"the image must have shape \(3, 4, 4\), got \(1, 4, 4\)"):
        g.certify(torch.zeros(1, 4, 4))


def test_a_smoothed_classifier_refuses_what_contradicts_itself():
    backend = TorchBackend(half_space(at=0.5), num_classes=2)
    assert SmoothedClassifier(backend, num_classes=2, smoothing=SPEC).base is backend
    with pytest.raises(CertificationError, match="has its own device: leave device out, got cpu"):
        SmoothedClassifier(backend, num_classes=2, smoothing=SPEC, device="cpu")
    with pytest.raises(CertificationError, match="2 names, one per class, got 1"):
        classifier(class_names=["a"])
    with pytest.raises(CertificationError, match="batch_size must be at least 1"):
        classifier(batch_size=0)
    assert classifier(device="cpu").certify(image(0.9)).backend == "torch-cpu-float32"
