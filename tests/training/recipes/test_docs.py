"""docs/reference/recipes.md shows the recipes as they are."""

from pathlib import Path

import pytest

from training.recipes.__main__ import general_table, published_table, quick_changes

DOCUMENT = (Path(__file__).parents[3] / "docs/reference/recipes.md").read_text()


@pytest.mark.parametrize("table", [general_table, quick_changes, published_table])
def test_the_document_holds_what_the_module_prints(table):
    assert table() in DOCUMENT
