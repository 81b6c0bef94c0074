"""An imported checkpoint says where it came from and what was stated of it."""

import pytest

from tests.zoo.importing.running import imported
from zoo.checkpoints.checkpoint import open_checkpoint, sha256_of
from zoo.errors import RequestError, UnknownNameError
from zoo.importing.importer import ImportOptions
from zoo.models.spec import Preprocessing


def test_a_checkpoint_says_where_it_came_from_and_what_was_stated(small, tmp_path):
    options = {"sigma": 0.5, "task": "pets", "objective": "consistency", "image_size": 32, "fit": "pad"}
    checkpoint, _ = imported(small.state_dict(), tmp_path, **options)
    certified = open_checkpoint(checkpoint.path).spec.certified
    assert certified.origin.model_dump() == {
        "file": "foreign.pth", "sha256": sha256_of(tmp_path / "foreign.pth"), "format": "torchvision", "url": None,
        "licence": None, "catalog_id": None, "reported": (),
    }  # fmt: skip
    assert (certified.sigma, certified.preprocessing) == (0.5, Preprocessing(resize=32, crop=32, fit="pad"))
    assert checkpoint.spec.name == "resnet10-quarter.consistency_s50_pets"
    assert (certified.seed, certified.epochs, certified.recipe_digest) == (None, None, None)


def test_what_was_not_stated_is_said_to_be_unknown(small, tmp_path):
    spec = imported(small.state_dict(), tmp_path)[0].spec
    assert spec.name == "resnet10-quarter.unknown_unknown" and spec.certified.sigma is None
    assert (spec.preprocessing.resize, spec.preprocessing.crop, spec.preprocessing.fit) == (256, 224, "crop")


def test_a_directory_that_is_not_empty_is_not_overwritten(small, tmp_path):
    imported(small.state_dict(), tmp_path)
    with pytest.raises(RequestError, match="not an empty directory"):
        imported(small.state_dict(), tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_classes": 1}, "expected at least 2"),
        ({"num_classes": 3, "class_names": ("a", "b")}, "2 class names were given for 3 classes"),
        ({"resize": 100}, "crop 224 is larger than resize 100"),
        ({"resize": 256, "fit": "pad"}, "the fit pad resizes to the crop, so resize must be 224, got 256"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": float("nan")}, "sigma"),
    ],
)
def test_nonsense_beside_the_file_is_refused(options, reason, small, tmp_path):
    with pytest.raises(RequestError, match=reason):
        imported(small.state_dict(), tmp_path, **options)


def test_an_unknown_architecture_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="known: resnet10-quarter, resnet18"):
        ImportOptions(architecture="resnet51")
