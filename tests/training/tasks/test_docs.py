"""docs/reference/tasks.md shows the table of tasks as it is."""

from pathlib import Path

import pytest

from benchmarks.task_costs import Gpu, costs_table, details_table, facts_table, measure_network
from training.tasks.table import PUBLISHED, TASKS

DOCUMENT = (Path(__file__).parents[3] / "docs/reference/tasks.md").read_text()


@pytest.mark.parametrize("table", [facts_table, details_table, lambda: costs_table(Gpu())])
def test_the_document_holds_what_the_script_prints(table):
    assert table() in DOCUMENT


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_is_in_the_document(name):
    assert f"`{name}" in DOCUMENT


def test_the_document_gives_the_normalization_of_every_task_that_has_one():
    for row in PUBLISHED:
        if row.preprocessing.mean != (0.0, 0.0, 0.0):
            numbers = [*row.preprocessing.mean, *row.preprocessing.std]
            line = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `{row.name}` | 0."))
            assert [float(each) for each in line.split("|", 2)[2].replace("|", ",").strip(" ,").split(",")] == numbers


def test_costs_come_from_the_known_size_of_resnet50():
    size = measure_network()
    assert size.operations == pytest.approx(2 * 4.1e9, rel=0.01) and size.parameters == 25_557_032
    # 1,281,167 images x 90 epochs x 3 x 8.18e9 operations at 62.4e12 a second are 12.6 hours.
    assert "| `imagenet` | ResNet-50 | 90 | 12.6 h |" in costs_table(Gpu())
