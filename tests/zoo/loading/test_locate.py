"""MODEL: a directory, a Hub id or a catalog id, and a helpful answer to anything else."""

import pytest

from zoo.errors import RequestError
from zoo.loading.locate import locate, parse_hub_id


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet50.l2_eps3", "resnet50.l2_eps3_imagenet"),
        ("resnet50.simclr_800", "resnet50.simclr_800ep_imagenet"),
        ("resnet50", "resnet50.tv_v"),
    ],
)
def test_an_unknown_bare_name_is_answered_with_near_catalog_ids(name, near):
    with pytest.raises(RequestError, match="neither a directory nor a Hub id") as refused:
        locate(name)
    assert near in str(refused.value).partition("similar catalog ids: ")[2]


@pytest.mark.parametrize("name", ["qqqq", "/no/such/directory", "./owner/name"])
def test_a_name_that_resembles_no_catalog_id_gets_no_list(name):
    with pytest.raises(RequestError) as refused:
        locate(name)
    assert "catalog" not in str(refused.value)


def test_a_directory_comes_before_a_catalog_id_of_the_same_name(copy_of_digits, monkeypatch):
    copy_of_digits.rename(copy_of_digits.parent / "resnet50.tv_v1_imagenet")
    monkeypatch.chdir(copy_of_digits.parent)
    assert locate("resnet50.tv_v1_imagenet").spec.certified.task == "digits"


def test_a_hub_id_is_repository_and_revision():
    assert parse_hub_id("owner/name@v1") == ("owner/name", "v1")
    assert parse_hub_id("owner/name") == ("owner/name", None)
