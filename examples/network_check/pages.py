"""The pages that state the licence and the accuracy of a catalog entry, and the search for these statements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.models.catalog import CatalogEntry, HubFile, PackageFile

NEAR = 600  # characters: a row of the authors' tables, or an entry of torchvision's source


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """The source pages of an entry's licence and accuracy; a HubFile is a card at a commit."""

    licence: tuple[str | HubFile, ...]
    accuracy: tuple[str | HubFile, ...]


def cited(entry: CatalogEntry) -> Cited:
    """The source pages of a catalog entry; the raw text rather than the rendered page if both exist."""
    if isinstance(entry.file, HubFile):
        card = HubFile(repository=entry.file.repository, name="README.md", revision=entry.file.revision)
        table = "https://raw.githubusercontent.com/microsoft/robust-models-transfer/master/README.md"
        return Cited(licence=(card,), accuracy=(card, table))
    if isinstance(entry.file, PackageFile):
        return Cited(licence=(entry.file.url,), accuracy=(entry.file.url,))
    repository, page = {
        "torchvision": ("pytorch/vision", "torchvision/models/resnet.py"),
        "vissl": ("facebookresearch/vissl", "MODEL_ZOO.md"),
    }[entry.format]
    at = f"https://raw.githubusercontent.com/{repository}/main"
    return Cited(licence=(f"{at}/LICENSE",), accuracy=(f"{at}/{page}",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement found in a text; `is_beside` is whether it is near the name of the file that it describes."""

    excerpt: str
    is_beside: bool


def find_accuracy(text: str, entry: CatalogEntry) -> Statement | None:
    """The text's statement of the entry's accuracy in percent, preferably near the file's name; None if missing."""
    percent = f"{round(100 * entry.accuracy, 3):g}"
    zeros = "0*" if "." in percent else r"(\.0+)?"
    figure = re.compile(rf"(?<![\d.]){re.escape(percent)}{zeros}(?!\d)")
    names = [match.start() for match in re.finditer(rf"(?<![\w-]){re.escape(_file_name(entry))}", text)]
    statements = [
        Statement(
            excerpt=_around(text, match.start(), match.end()),
            is_beside=any(abs(match.start() - name) <= NEAR for name in names),
        )
        for match in figure.finditer(text)
    ]
    return max(statements, key=lambda statement: statement.is_beside, default=None)


def find_licence(text: str, entry: CatalogEntry) -> Statement | None:
    """The line that contains the entry's licence and the word "licence" or "license"; None if there is none."""
    name = entry.licence.partition(" (")[0]
    written = r"[\s-]".join(map(re.escape, name.split("-")))
    for line in text.splitlines():
        if re.search(rf"(?<!\w){written}(?!\w)", line, re.IGNORECASE) and re.search("licen[cs]e", line, re.IGNORECASE):
            return Statement(excerpt=line.strip()[:200], is_beside=True)
    return None


def _file_name(entry: CatalogEntry) -> str:
    """The part of the address that identifies the file: VISSL's files share one name, in different folders."""
    if isinstance(entry.file, HubFile):
        return entry.file.name
    return "/".join(entry.file.url.split("/")[-2:])


def _around(text: str, start: int, end: int) -> str:
    return " ".join(text[max(0, start - 80) : end + 80].split())
