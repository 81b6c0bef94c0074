"""The rendered cards of the entries in model_cards/, with the files they are computed from; weights stay out of git.

After the template or the figure has changed, python -m examples.entries.cards renders and draws them again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from zoo.cards import render_card
from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.models.layout import CARD, CONFIG, CURVE, MANIFEST, ROWS
from zoo.results.figure import curve_png

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
    """Draws the curve and renders the card of a folder of model_cards/ again; returns whether a file changed."""
    spec = read_spec(folder)
    curve = curve_png((folder / ROWS).read_bytes(), name=spec.name)
    changed = _replace(folder, CURVE, curve)
    return _replace(folder, CARD, render_card(spec, files=read_manifest(folder)).encode()) or changed


def _replace(folder: Path, name: str, content: bytes) -> bool:
    """Writes a file and its hash in the manifest; returns whether one of them changed."""
    sha256 = hashlib.sha256(content).hexdigest()
    if content == (folder / name).read_bytes() and read_manifest(folder)[name] == sha256:
        return False
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name]["sha256"] = sha256
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return True


def main() -> None:
    """Renders all cards again and reports which changed."""
    for manifest in sorted(FOLDER.glob(f"*/{MANIFEST}")):
        print(f"{manifest.parent.name}: {'changed' if render_again(manifest.parent) else 'unchanged'}")


if __name__ == "__main__":
    main()
