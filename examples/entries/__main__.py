"""python -m examples.entries NAME --output DIR: makes an entry, publishes and serves it; run again to go on."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.entries.build import build
from examples.entries.cards import keep_card
from examples.entries.delivery import deliver
from examples.entries.table import CHECKPOINT, ENTRIES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.entries", description=__doc__)
    parser.add_argument("name", choices=ENTRIES)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--keep-card", action="store_true", help="copy the card into model_cards/NAME")
    asked = parser.parse_args()
    build(ENTRIES[asked.name], asked.output)
    deliver(asked.name, ENTRIES[asked.name], asked.output)
    if asked.keep_card:
        print(f"the card is kept in {keep_card(asked.name, asked.output / CHECKPOINT)}")


if __name__ == "__main__":
    main()
