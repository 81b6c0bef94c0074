"""Checks every catalog entry: address, download, hash, import, a classified batch, cited licence and accuracy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from examples.network_check.pages import Cited, Statement, find_accuracy, find_licence
from examples.network_check.record import FailedCheckError, Record, Result, sentence_of
from examples.network_check.web import ask, read_page
from zoo.checkpoints.checkpoint import Checkpoint, sha256_of
from zoo.download.retry import Retrier
from zoo.errors import ForeignCheckpointError, ZooError
from zoo.hub import download_file
from zoo.hub.connection import endpoint
from zoo.loading.catalog_download import fetch
from zoo.models.catalog import CatalogEntry, HubFile

Downloads = Literal["discard", "keep", "none"]
WEIGHTS, HUB_CACHE = "weights", "hub"
BATCH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCheck:
    """The check of all catalog entries.

    `downloads` is whether to discard an entry's files once its steps have passed, to keep them, or to download none.
    `hub_cache` is a cache of the Hub's files that only this check uses.
    """

    record: Record
    entries: Mapping[str, CatalogEntry]
    cited: Mapping[str, Cited]
    weights: Path
    hub_cache: Path
    downloads: Downloads
    retrier: Retrier
    _texts: dict[str | HubFile, str] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Requests all headers first, to announce the size of the downloads, then checks entry by entry."""
        for entry in self.entries.values():
            self.record.do(_step(entry, "found"), partial(self._found, entry), about=entry.file.url)
        print(self.announcement, flush=True)
        for entry in self.entries.values():
            self._check(entry)

    @property
    def announcement(self) -> str:
        """The size of the downloads, and where the files are kept."""
        missing = [entry for entry in self.entries.values() if self._lacks(entry)]
        all_facts = [self.record.facts(_step(entry, "found")) for entry in missing]
        sizes = [facts["size"] for facts in all_facts if facts is not None and facts["size"] is not None]
        unknown = f" and {len(missing) - len(sizes)} files of unknown size" if len(sizes) < len(missing) else ""
        amount = f"{sum(sizes) / 1e9:.2f} GB in {len(sizes)} files{unknown}"
        match self.downloads:
            case "none":
                return f"nothing is downloaded; without --downloads none, it would be {amount}"
            case "keep":
                return f"to download: {amount}; kept in {self.weights} and {self.hub_cache}"
            case "discard":
                return f"to download: {amount}; each is deleted once its checks have passed (--downloads keep keeps it)"

    def _lacks(self, entry: CatalogEntry) -> bool:
        steps = ("downloaded", "imported", "classified")
        passed = all(self.record.has_passed(_step(entry, step), about=str(entry)) for step in steps)
        return not passed and not (self.weights / entry.id).exists()

    def _check(self, entry: CatalogEntry) -> None:
        steps: dict[str, Callable[[CatalogEntry], Result]] = {
            "downloaded": self._downloaded,
            "hash": self._hash,
            "imported": self._imported,
            "classified": self._classified,
            "licence": self._licence,
            "accuracy": self._accuracy,
        }
        for step, check in steps.items():
            self.record.do(_step(entry, step), partial(check, entry), about=str(entry))
        if self.downloads == "discard" and self.record.has_passed(_step(entry, "classified"), about=str(entry)):
            self._discard(entry)

    def _discard(self, entry: CatalogEntry) -> None:
        shutil.rmtree(self.weights / entry.id, ignore_errors=True)
        if isinstance(entry.file, HubFile):
            shutil.rmtree(self.hub_cache, ignore_errors=True)

    def _found(self, entry: CatalogEntry) -> Result:
        if isinstance(entry.file, HubFile):
            file = entry.file
            headers = ask(f"{endpoint()}/{file.repository}/resolve/{file.revision}/{file.name}", retrier=self.retrier)
        else:
            headers = ask(entry.file.url, retrier=self.retrier)
        return Result(outcome="passed", sentence=headers.sentence, facts=asdict(headers))

    def _downloaded(self, entry: CatalogEntry) -> Result:
        """Downloads by the product's call, which also imports; the next step reports errors of the import."""
        if self.downloads == "none":
            return Result(outcome="skipped", sentence="--downloads none")
        try:
            sha256 = _sha256(self._fetch(entry))
        except ForeignCheckpointError:
            sha256 = sha256_of(self._kept_file(entry))
        return Result(outcome="passed", sentence=f"its SHA-256 is {sha256}", facts={"sha256": sha256})

    def _fetch(self, entry: CatalogEntry) -> Checkpoint:
        return fetch(entry, cache=self.weights, retrier=self.retrier)

    def _kept_file(self, entry: CatalogEntry) -> Path:
        """The kept file of a download that could not be imported."""
        if isinstance(entry.file, HubFile):
            return download_file(entry.file.repository, entry.file.name, revision=entry.file.revision)
        return self.weights / ".downloads" / entry.id / entry.file.url.rpartition("/")[2]

    def _hash(self, entry: CatalogEntry) -> Result:
        downloaded, found = (self.record.facts(_step(entry, step)) for step in ("downloaded", "found"))
        if downloaded is None:
            return Result(outcome="skipped", sentence="needs the download")
        if isinstance(entry.file, HubFile):
            whose, expected = "the Hub's", None if found is None else found["sha256"]
        else:
            whose, expected = "the published one", entry.file.sha256_prefix
        sha256: str = downloaded["sha256"]
        facts = {"sha256": sha256, "expected": expected}
        if expected is None:
            return Result(outcome="skipped", sentence=f"no published hash to compare with {sha256}", facts=facts)
        if not sha256.startswith(expected):
            self._discard(entry)  # nothing is imported from it, and the next run downloads the file again
            self.record.withdraw(_step(entry, "downloaded"), because="discarded: see the hash")
            raise FailedCheckError(f"the SHA-256 of the download is {sha256}, {whose} is {expected}")
        return Result(outcome="passed", sentence=f"matches {whose}: {expected}", facts=facts)

    def _imported(self, entry: CatalogEntry) -> Result:
        if self.downloads == "none":
            return Result(outcome="skipped", sentence="--downloads none")
        if self.record.facts(_step(entry, "downloaded")) is None:
            return Result(outcome="skipped", sentence="needs the download")
        spec = self._fetch(entry).spec
        facts = {"architecture": spec.architecture, "has_trained_head": spec.certified.has_trained_head}
        return Result(outcome="passed", sentence=f"a {spec.architecture} of {spec.num_classes} classes", facts=facts)

    def _classified(self, entry: CatalogEntry) -> Result:
        if self.record.facts(_step(entry, "imported")) is None:
            return Result(outcome="skipped", sentence="needs the imported checkpoint")
        return classify(self._fetch(entry), has_head=entry.has_head)

    def _licence(self, entry: CatalogEntry) -> Result:
        claim = f"the licence {entry.licence.partition(' (')[0]}"
        return self._stated(claim, self.cited[entry.id].licence, lambda text: find_licence(text, entry))

    def _accuracy(self, entry: CatalogEntry) -> Result:
        claim = f"the accuracy {100 * entry.accuracy:.5g} %"
        return self._stated(claim, self.cited[entry.id].accuracy, lambda text: find_accuracy(text, entry))

    def _stated(self, claim: str, pages: tuple[str | HubFile, ...], find: Callable[[str], Statement | None]) -> Result:
        """Passes if a page states the claim near the file's name; skips pages that cannot be read.

        Raises: FailedCheckError if no page states the claim and a page could not be read.
        """
        elsewhere: tuple[str, Statement] | None = None
        unread: list[str] = []
        for page in pages:
            url = _address(page)
            try:
                statement = find(self._read(page))
            except (FailedCheckError, ZooError) as error:
                unread.append(sentence_of(error))
                continue
            if statement is not None and statement.is_beside:
                facts = {"page": url, "excerpt": statement.excerpt}
                return Result(outcome="passed", sentence=f"{claim} is on {url}", facts=facts)
            if statement is not None:
                elsewhere = url, statement
        if elsewhere is not None:
            url, statement = elsewhere
            facts = {"page": url, "excerpt": statement.excerpt}
            sentence = f"{claim} is on {url}, but not near the name of the file"
            return Result(outcome="finding", sentence=sentence, facts=facts)
        if unread:
            raise FailedCheckError(f"{claim} could not be checked: {'; '.join(unread)}")
        urls = [_address(page) for page in pages]
        sentence = f"{claim} was not found on the page: {', '.join(urls)}"
        return Result(outcome="finding", sentence=sentence, facts={"pages": urls})

    def _read(self, page: str | HubFile) -> str:
        """The text of a page, read once per run."""
        if page not in self._texts:
            if isinstance(page, HubFile):
                path = download_file(page.repository, page.name, revision=page.revision, retrier=self.retrier)
                self._texts[page] = path.read_text(encoding="utf-8", errors="replace")
            else:
                self._texts[page] = read_page(page, retrier=self.retrier)
        return self._texts[page]


def classify(checkpoint: Checkpoint, *, has_head: bool) -> Result:
    """Runs the network on two random images; an entry without a head gives features instead of logits.

    Raises: FailedCheckError if the output has another shape than expected, is not finite, or is equal for both images.
    """
    network = checkpoint.load_network()
    backbone, kind = network.backbone, "logits"
    width = checkpoint.spec.num_classes
    if not has_head:
        assert isinstance(backbone.fc, nn.Linear)
        kind, width, backbone.fc = "features", backbone.fc.in_features, nn.Identity()
    crop = checkpoint.spec.preprocessing.crop
    x_BCHW = torch.rand(BATCH, 3, crop, crop, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs: Tensor = network(x_BCHW)
    if outputs.shape != (BATCH, width):
        raise FailedCheckError(f"the {kind} have the shape {tuple(outputs.shape)}, expected {(BATCH, width)}")
    if not bool(outputs.isfinite().all()):
        raise FailedCheckError(f"the {kind} of a random image are not finite")
    if torch.equal(outputs[0], outputs[1]):
        raise FailedCheckError(f"the {kind} of two different images are equal")
    low, high = outputs.min().item(), outputs.max().item()
    sentence = f"{kind} of {BATCH} random images: {width} each, from {low:.3g} to {high:.3g}"
    return Result(outcome="passed", sentence=sentence, facts={"shape": list(outputs.shape), "low": low, "high": high})


def _sha256(checkpoint: Checkpoint) -> str:
    origin = checkpoint.spec.certified.origin
    assert origin is not None  # every imported checkpoint has one
    return origin.sha256


def _step(entry: CatalogEntry, step: str) -> str:
    return f"catalog/{entry.id}/{step}"


def _address(page: str | HubFile) -> str:
    return page.url if isinstance(page, HubFile) else page
