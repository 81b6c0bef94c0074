"""The file's own normalization is taken; one that it cannot tell must be stated."""

import pytest
import torch

from tests.zoo.importing.foreign_files import MEAN_C11, STD_C11, robustness
from tests.zoo.importing.running import imported, refusal
from zoo.errors import RequestError
from zoo.importing.normalization import NORMALIZATIONS


def test_a_normalization_that_the_file_cannot_tell_must_be_stated(small, tmp_path):
    message = refusal(small.state_dict(), tmp_path, normalization=None)
    assert "add --normalization with one of imagenet, cifar10, cifar100, none, center-imagenet" in message
    assert "does not record" in refusal(small.state_dict(), tmp_path, normalization="file")


@pytest.mark.parametrize("stated", [None, "file", "imagenet", "mean=0.485,0.456,0.406;std=0.229,0.224,0.225"])
def test_the_files_own_normalization_is_taken_and_may_be_stated_again(stated, small, tmp_path):
    checkpoint, _ = imported({"model": robustness(small.state_dict())}, tmp_path, normalization=stated)
    assert checkpoint.spec.preprocessing.mean == (0.485, 0.456, 0.406)
    assert checkpoint.spec.preprocessing.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("stated", ["none", "cifar10", "center-imagenet"])
def test_a_normalization_that_contradicts_the_files_is_refused_with_both(stated, small, tmp_path):
    message = refusal({"model": robustness(small.state_dict())}, tmp_path, normalization=stated)
    assert "normalizes with mean (0.485, 0.456, 0.406)" in message and f"--normalization {stated} is" in message


def test_to_center_is_to_subtract_the_mean_only(small, tmp_path):
    checkpoint, _ = imported(small.state_dict(), tmp_path, normalization="center-imagenet")
    x_BCHW = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(checkpoint.load_network()(x_BCHW), small(x_BCHW - MEAN_C11))


@pytest.mark.parametrize("stated", ["imagnet", "mean=1;std=2", "mean=1,2;std=1,1,1", "mean=a,b,c;std=1,1,1"])
def test_a_malformed_normalization_is_refused_with_what_is_expected(stated, small, tmp_path):
    with pytest.raises(RequestError, match="mean=R,G,B;std=R,G,B"):
        imported(small.state_dict(), tmp_path, normalization=stated)


@pytest.mark.parametrize("stated", ["mean=0,0,0;std=1,0,1", "mean=0,0,nan;std=1,1,1"])
def test_a_normalization_that_divides_by_nothing_is_refused(stated, small, tmp_path):
    with pytest.raises(RequestError, match="finite means and positive stds"):
        imported(small.state_dict(), tmp_path, normalization=stated)


def test_buffers_that_are_no_normalization_are_refused(small, tmp_path):
    state = robustness(small.state_dict())
    for key in ("module.normalizer.new_std", "module.attacker.normalize.new_std"):
        state[key] = torch.zeros_like(STD_C11)
    assert "contains an invalid normalization" in refusal(state, tmp_path, normalization=None)


def test_the_table_holds_the_published_values():
    assert NORMALIZATIONS["cifar10"].std == (0.2023, 0.1994, 0.2010)
    assert NORMALIZATIONS["cifar100"].mean == (0.5071, 0.4867, 0.4408)
    assert NORMALIZATIONS["none"].std == NORMALIZATIONS["center-imagenet"].std == (1.0, 1.0, 1.0)
