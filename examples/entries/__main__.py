"""python -m examples.entries NAME --output DIR: builds an entry, publishes and serves it; run again to resume."""

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
    arguments = parser.parse_args()
    build(ENTRIES[arguments.name], arguments.output)
    deliver(arguments.name, ENTRIES[arguments.name], arguments.output)
    if arguments.keep_card:
        print(f"copied the card to {keep_card(arguments.name, arguments.output / CHECKPOINT)}")


if __name__ == "__main__":
    main()
