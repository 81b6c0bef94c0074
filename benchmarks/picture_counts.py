"""Prints the tables of docs/reference/tasks.md on the picture collections, counted in the data.

    python -m benchmarks.picture_counts [--data-dir DIR]

DIR contains openclipart/ and tuxpaint/, into which the Debian packages were unpacked; by default the installed packages
are read. No picture is decoded.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from training.tasks.table import COLLECTIONS, open_task
from training.tasks.task import Task


def counts_table(task: Task) -> str:
    """The pictures of each class: all, for training, for testing."""
    train, test = Counter(task.train.labels), Counter(task.test.labels)
    lines = [f"| `{task.name}` | pictures | training | test |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {train[label] + test[label]} | {train[label]} | {test[label]} |"
        for label, name in enumerate(task.class_names)
    ]
    num_train, num_test = len(task.train), len(task.test)
    return "\n".join([*lines, f"| all | {num_train + num_test:,} | {num_train} | {num_test} |"])


def main() -> None:
    """Prints the table and the remarks of each collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    data_dir = parser.parse_args().data_dir
    for collection in COLLECTIONS:
        task = open_task(collection.name, data_dir=data_dir)
        print(counts_table(task), *(f"- {remark}" for remark in task.deviations), sep="\n", end="\n\n")


if __name__ == "__main__":
    main()
