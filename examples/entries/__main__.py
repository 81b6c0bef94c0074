"""python -m examples.entries NAME --output DIR: makes an entry; run it again to go on after a kill."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.entries.build import build
from examples.entries.table import ENTRIES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.entries", description=__doc__)
    parser.add_argument("name", choices=ENTRIES)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    asked = parser.parse_args()
    build(ENTRIES[asked.name], asked.output)


if __name__ == "__main__":
    main()
