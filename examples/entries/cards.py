"""The rendered cards of the entries in model_cards/, with the files they are computed from; weights stay out of git.

After the template has changed, python -m examples.entries.cards renders the cards again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from zoo.cards import render_card
from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.models.layout import CARD, CONFIG, CURVE, MANIFEST, ROWS

FOLDER = Path(__file__).parents[2] / "model_cards"
KEPT = (CARD, CONFIG, ROWS, CURVE, MANIFEST)


def keep_card(name: str, checkpoint: Path) -> Path:
    """Copies the card of an entry, and the small files that it is computed from, into model_cards/NAME."""
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    for file in KEPT:
        shutil.copyfile(checkpoint / file, folder / file)
    return folder


def render_again(folder: Path) -> bool:
    """Renders the card in a folder of model_cards/ again; returns whether the card or its recorded hash changed."""
    files = read_manifest(folder)
    card = render_card(read_spec(folder), files=files).encode()
    sha256 = hashlib.sha256(card).hexdigest()
    if card == (folder / CARD).read_bytes() and files[CARD] == sha256:
        return False
    (folder / CARD).write_bytes(card)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][CARD]["sha256"] = sha256
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return True


def main() -> None:
    """Renders all cards again and reports which changed."""
    for manifest in sorted(FOLDER.glob(f"*/{MANIFEST}")):
        print(f"{manifest.parent.name}: {'changed' if render_again(manifest.parent) else 'unchanged'}")


if __name__ == "__main__":
    main()
