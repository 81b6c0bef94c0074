"""A rehearsal of the network check: a file server, a Hub and entries of a small network on this machine."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from examples.network_check.__main__ import Subjects, main
from examples.network_check.pages import Cited
from tests.examples.file_server import FileServer, file_server
from tests.loopback_hub import LoopbackHub, Repository
from zoo.download.retry import DOWNLOAD_RETRY, Retrier
from zoo.models.catalog import CatalogEntry, HubFile, WebFile, find_entry
from zoo.models.resnets import QuarterResNet

PREFIXED, HEADLESS, ON_THE_HUB = "small.prefixed", "small.headless", "small.hub"
PAGE = "models/two.pth: acc@1 76.130\n[64.40](features/one.torch)\n[70.43](three.ckpt.bin)\n"


@pytest.fixture(scope="session")
def weights() -> bytes:
    """The file of a small network in torchvision's format."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(QuarterResNet(4).state_dict(), buffer)
    return buffer.getvalue()


@dataclass
class Rehearsal:
    """The check with these subjects, run through its command; `record` is the record that it wrote."""

    site: FileServer
    hub: LoopbackHub
    output: Path
    capsys: pytest.CaptureFixture[str]
    entries: dict[str, CatalogEntry]
    cited: dict[str, Cited]
    addresses: Mapping[str, tuple[str, ...] | str]
    out: str = ""
    waits: list[float] = field(default_factory=list)

    def run(self, *words: str) -> int:
        subjects = Subjects(entries=self.entries, cited=self.cited, addresses=self.addresses)
        tries = Retrier(policy=replace(DOWNLOAD_RETRY, max_retries=1), sleep=self.waits.append)
        code = main(["--output", str(self.output), *words], subjects=subjects, tries=tries)
        self.out = "".join(self.capsys.readouterr())
        return code

    @property
    def record(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / "network_check.json").read_text())
        return content

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: step["outcome"] for name, step in self.record["steps"].items()}

    @property
    def zipped(self) -> str:
        """The name of the step for the tasks' only address."""
        return f"task/zipped/{self.addresses['zipped'][0].partition('://')[2]}"

    def sentence(self, step: str) -> str:
        return str(self.record["steps"][step]["sentence"])


@pytest.fixture
def rehearsal(
    hub: LoopbackHub,
    weights: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Rehearsal]:
    output = tmp_path / "check"
    settings = {
        "NO_PROXY": "127.0.0.1",
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": "hf_alice",
        "HF_HUB_CACHE": "set by main",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(output / "hub"))
    hub.repositories["lab/robust"] = repository = Repository(id="lab/robust")
    card = b"---\nlicense: mit\n---\n"
    commit = repository.commit("weights", {"three.ckpt.bin": weights, "README.md": card}).oid
    with file_server() as site:
        site.files = {"/models/two.pth": weights, "/features/one.torch": weights, "/page": PAGE.encode()}
        site.files |= {"/LICENSE": b"MIT License\n", "/data.zip": b"zip" * 1000}
        usual = replace(find_entry("resnet50.tv_v1_imagenet"), architecture="resnet10-quarter", num_classes=4)
        prefix = hashlib.sha256(weights).hexdigest()[:8]
        files = {
            PREFIXED: WebFile(url=f"{site.url}/models/two.pth", sha256_prefix=prefix),
            HEADLESS: WebFile(url=f"{site.url}/features/one.torch"),
            ON_THE_HUB: HubFile(repository="lab/robust", name="three.ckpt.bin", revision=commit),
        }
        changes: dict[str, dict[str, Any]] = {
            PREFIXED: {"accuracy": 0.7613},
            HEADLESS: {"accuracy": 0.644, "has_head": False},
            ON_THE_HUB: {"accuracy": 0.7043},
        }
        entries = {
            id: replace(usual, id=id, file=file, licence="MIT (its card)", **changes[id]) for id, file in files.items()
        }
        page, licence = f"{site.url}/page", f"{site.url}/LICENSE"
        cited = {id: Cited(licence=(licence,), accuracy=(page,)) for id in (PREFIXED, HEADLESS)}
        hub_card = HubFile(repository="lab/robust", name="README.md", revision=commit)
        cited[ON_THE_HUB] = Cited(licence=(hub_card,), accuracy=(hub_card, page))
        addresses = {"zipped": (f"{site.url}/data.zip",), "digits": "nothing to download"}
        yield Rehearsal(site, hub, output, capsys, entries, cited, addresses)
