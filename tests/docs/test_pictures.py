"""The pictures of the explanation are those that the engine's numbers give."""

import re
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from docs.draw import FOLDER, PICTURES, certificate, classify, largest_radius, save, smoothed
from tests.docs.blocks import pages

DRAWN_BY = re.compile(r"Matplotlib v([\d.]+),")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_the_repository_is_drawn_again_byte_by_byte(name, tmp_path):
    committed = (FOLDER / f"{name}.svg").read_text()
    found = DRAWN_BY.search(committed)
    if found is None or found[1] != mpl.__version__:
        pytest.skip("another version of matplotlib drew it")
    save(PICTURES[name](), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == committed, "draw it again: python -m docs.draw"


def test_the_largest_radii_are_those_that_the_pages_state():
    assert [round(largest_radius(n), 2) for n in (100, 1_000, 10_000, 100_000)] == [1.5, 2.46, 3.2, 3.81]


def test_the_circle_lies_within_the_region_of_its_class():
    """Sixteen points on the circle have the class of the image under the vote, despite the islands inside."""
    import torch

    given = certificate()
    turns = torch.arange(16) * (2 * torch.pi / 16)
    ring = torch.tensor([0.33, 0.42]) + given.radius * torch.stack([turns.cos(), turns.sin()], dim=1)
    answers = smoothed().predict(ring.reshape(16, 1, 1, 2), n=1_000, generator=torch.Generator().manual_seed(0))
    assert {answer.label for answer in answers} == {given.label} == {0}
    assert set(classify(torch.tensor([0.37, 0.47]).reshape(1, 1, 1, 2)).argmax(1).tolist()) == {1}


def test_every_picture_of_a_page_has_a_text_for_those_who_do_not_see_it():
    image = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
    texts = [(path.name, text) for path in pages() for text, _ in image.findall(path.read_text())]
    assert texts and [each for each in texts if len(each[1]) < 20] == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_loads_nothing(name):
    tree = ElementTree.parse(FOLDER / f"{name}.svg")
    links = [value for node in tree.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
