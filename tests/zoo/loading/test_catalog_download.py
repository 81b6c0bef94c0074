"""Downloads of catalog entries end in a whole checkpoint or in nothing."""

import hashlib
import io
import re
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution

import pytest
import timm
import torch
from filelock import FileLock

from tests.full_disk import files_no_larger_than
from tests.loopback_hub import Repository
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.download.http import download
from zoo.download.retry import Retrier
from zoo.errors import CheckpointError, ForeignCheckpointError, HubError, RequestError
from zoo.importing.normalization import NORMALIZATIONS
from zoo.loading.catalog_download import fetch, weights_directory
from zoo.loading.locate import locate
from zoo.models import catalog
from zoo.models.catalog import HubFile, WebFile, find_entry
from zoo.models.resnets import QuarterResNet

IN_A_PACKAGE = "efficientnet_lite0.imagenet"


@dataclass
class Website:
    """One file at any path; notes from which byte each request asked, and misbehaves as it is told.

    The next `hangs_up` answers end half-way; `tag` names the content, None where the server does not say.
    """

    content: bytes
    status: int = 200
    hangs_up: int = 0
    tag: str | None = '"one"'
    begins: list[int] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def website(monkeypatch):
    """A web server on this machine that serves our small network as torchvision would save it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    buffer = io.BytesIO()
    torch.save(QuarterResNet(4).state_dict(), buffer)
    site = Website(buffer.getvalue())

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            begin = int(asked[1]) if asked and self.headers.get("If-Range") == site.tag else 0
            site.begins.append(begin)
            content = site.content[begin:]
            self.send_response(206 if begin and site.status == 200 else site.status)
            self.send_header("Content-Length", str(len(content)))
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(site.content) - 1}/{len(site.content)}")
            if site.tag:
                self.send_header("ETag", site.tag)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if site.hangs_up else content)
            site.hangs_up = max(0, site.hangs_up - 1)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}/models/small-network.pth"
        yield site
        server.shutdown()
        thread.join()


def entry_of(file, **changes):
    """torchvision's entry with our small network in its place."""
    entry = replace(find_entry("resnet50.tv_v1_imagenet"), architecture="resnet10-quarter", num_classes=4)
    return replace(entry, file=file, **changes)


def published(website):
    """The website's file with the true start of its hash."""
    return WebFile(url=website.url, sha256_prefix=hashlib.sha256(website.content).hexdigest()[:8])


def left_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_fetched_entry_is_a_checkpoint_that_says_where_it_came_from(website, tmp_path):
    checkpoint = fetch(entry_of(published(website)), cache=tmp_path)
    assert checkpoint.path == tmp_path / "resnet50.tv_v1_imagenet"
    certified = checkpoint.spec.certified
    assert certified.origin.model_dump(exclude={"reported"}) == {
        "file": "small-network.pth", "sha256": hashlib.sha256(website.content).hexdigest(), "format": "torchvision",
        "url": website.url, "licence": find_entry("resnet50.tv_v1_imagenet").licence,
        "catalog_id": "resnet50.tv_v1_imagenet",
    }  # fmt: skip
    assert (certified.objective, certified.task) == ("standard", "imagenet")
    assert certified.preprocessing.mean == NORMALIZATIONS["imagenet"].mean
    assert set(left_in(tmp_path)) == {
        f"resnet50.tv_v1_imagenet/{name}" for name in (*checkpoint.files, "manifest.json")
    }


def test_a_second_fetch_needs_no_network(website, tmp_path):
    entry = entry_of(published(website))
    first = fetch(entry, cache=tmp_path)
    website.status = 500
    assert fetch(entry, cache=tmp_path).files == first.files and len(website.begins) == 1


def test_other_bytes_than_were_published_are_refused_and_not_kept(website, tmp_path):
    with pytest.raises(HubError, match=r"other bytes than were published.*expected 00000000"):
        fetch(entry_of(WebFile(url=website.url, sha256_prefix="00000000")), cache=tmp_path)
    assert left_in(tmp_path) == []


def waiting(waits):
    return Retrier(sleep=waits.append)


def test_a_download_that_drops_goes_on_where_it_was(website, tmp_path):
    website.hangs_up, waits = 2, []
    checkpoint = fetch(entry_of(published(website)), cache=tmp_path, retrier=waiting(waits))
    size = len(website.content)
    assert website.begins == [0, size // 2, size // 2 + (size - size // 2) // 2] and waits == [1, 2]
    assert checkpoint.spec.certified.origin.sha256 == hashlib.sha256(website.content).hexdigest()


def test_a_download_that_was_given_up_is_taken_up_by_the_next_command(website, tmp_path):
    website.hangs_up = 5
    with pytest.raises(HubError, match="cannot download http"):
        fetch(entry_of(published(website)), cache=tmp_path, retrier=waiting([]))
    folder = ".downloads/resnet50.tv_v1_imagenet"
    kept = [f"{folder}/.small-network.pth.part", f"{folder}/.small-network.pth.validator"]
    assert left_in(tmp_path) == kept and not (tmp_path / "resnet50.tv_v1_imagenet").exists()
    assert fetch(entry_of(published(website)), cache=tmp_path).spec.num_classes == 4
    assert website.begins[-1] == website.begins[-2] + (len(website.content) - website.begins[-2]) // 2 > 0
    assert not (tmp_path / ".downloads" / "resnet50.tv_v1_imagenet").exists()


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_what_the_server_does_not_identify_is_downloaded_from_its_beginning(tag, website, tmp_path):
    website.hangs_up, website.tag = 1, tag
    fetch(entry_of(published(website)), cache=tmp_path, retrier=waiting([]))
    assert website.begins == [0, 0]


def test_a_file_that_changed_meanwhile_is_downloaded_from_its_beginning(website, tmp_path):
    target = tmp_path / "file"
    website.hangs_up = 5
    with pytest.raises(HubError, match="cannot download http"):
        download(website.url, target, retrier=waiting([]))
    website.content, website.tag = website.content[::-1], '"two"'
    download(website.url, target)
    assert target.read_bytes() == website.content and website.begins[-1] == 0 and left_in(tmp_path) == ["file"]


def test_a_download_that_another_process_makes_is_left_alone(website, tmp_path):
    with FileLock(tmp_path / ".file.lock"), pytest.raises(HubError, match="another process is downloading"):
        download(website.url, tmp_path / "file")
    assert website.begins == []


def test_a_disk_that_is_full_keeps_nothing_of_a_download(website, tmp_path):
    limit = len(website.content) // 2
    with files_no_larger_than(limit), pytest.raises(HubError, match=r"cannot write .*file: .*; nothing was kept"):
        download(website.url, tmp_path / "file")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("status", "waits"), [(403, []), (404, []), (503, [1, 2, 4, 8])])
def test_a_refusal_is_told_with_its_code(status, waits, website, tmp_path):
    website.status, waited = status, []
    with pytest.raises(HubError, match=f"answered {status}"):
        fetch(entry_of(published(website)), cache=tmp_path, retrier=waiting(waited))
    assert left_in(tmp_path) == [] and waited == waits


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.pth", "http://[::x/x.pth", "ftp://127.0.0.1/x.pth"])
def test_an_address_that_answers_nothing_is_named(url, tmp_path):
    with pytest.raises(HubError, match="cannot download"):
        fetch(entry_of(WebFile(url=url)), cache=tmp_path)


def test_a_file_that_cannot_be_imported_is_kept_for_a_look_at_it(website, tmp_path):
    website.content = b"<html>please log in"
    entry = entry_of(WebFile(url=website.url))
    with pytest.raises(ForeignCheckpointError, match="is a web page"):
        fetch(entry, cache=tmp_path)
    assert left_in(tmp_path) == [".downloads/resnet50.tv_v1_imagenet/small-network.pth"]
    with pytest.raises(ForeignCheckpointError, match="is a web page"):
        fetch(entry, cache=tmp_path)
    assert len(website.begins) == 1


def test_a_damaged_cached_checkpoint_is_refused(website, tmp_path):
    entry = entry_of(published(website))
    checkpoint = fetch(entry, cache=tmp_path)
    (checkpoint.path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="is damaged"):
        fetch(entry, cache=tmp_path)


def test_a_cache_that_cannot_be_written_is_named(website, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HubError, match="cannot write"):
        fetch(entry_of(published(website)), cache=tmp_path / "file")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")
def test_a_file_of_a_hub_repository_is_fetched_at_its_commit(hub, website, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.repositories["lab/robust"] = repository = Repository(id="lab/robust")
    revision = repository.commit("weights", {"small.ckpt": website.content}).oid
    repository.commit("other weights", {"small.ckpt": b"other"})
    file = HubFile(repository="lab/robust", name="small.ckpt", revision=revision)
    checkpoint = fetch(entry_of(file), cache=tmp_path / "cache")
    origin = checkpoint.spec.certified.origin
    assert origin.sha256 == hashlib.sha256(website.content).hexdigest() and origin.file == "small.ckpt"
    assert origin.url == f"https://huggingface.co/lab/robust/blob/{revision}/small.ckpt"
    with pytest.raises(HubError, match="lab/robust"):
        fetch(entry_of(replace(file, name="absent.ckpt"), id="other"), cache=tmp_path / "cache")


def test_a_catalog_id_is_a_model_like_any_other(website, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(catalog, "CATALOG", {"resnet50.tv_v1_imagenet": entry_of(published(website))})
    assert locate("resnet50.tv_v1_imagenet").path == tmp_path / "weights" / "resnet50.tv_v1_imagenet"


def test_the_cache_is_the_users_unless_the_environment_names_another(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("ZOO_CACHE_DIR", raising=False)
    assert str(weights_directory()) == "/home/ada/.cache/certified-zoo/weights"


def test_a_catalog_id_is_pulled_into_a_directory_in_one_step(website, tmp_path, monkeypatch, zoo_command):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(catalog, "CATALOG", {"resnet50.tv_v1_imagenet": entry_of(published(website))})
    offline = zoo_command("pull", "resnet50.tv_v1_imagenet", tmp_path / "mine", "--offline")
    assert offline.code == 1 and "is not downloaded yet, and --offline forbids network use" in offline.err
    done = zoo_command("pull", "resnet50.tv_v1_imagenet", tmp_path / "mine")
    assert (done.code, done.out) == (0, f"{tmp_path / 'mine'}: resnet50.tv_v1_imagenet\n")
    assert f"downloading {website.url}" in done.err
    assert open_checkpoint(tmp_path / "mine").spec.certified.origin.catalog_id == "resnet50.tv_v1_imagenet"
    again = zoo_command("pull", "resnet50.tv_v1_imagenet", tmp_path / "again", "--offline")
    assert again.code == 0 and len(website.begins) == 1
    website.content += b"x"
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "other"))
    refused = zoo_command("pull", "resnet50.tv_v1_imagenet", tmp_path / "third")
    assert refused.code == 1 and "served other bytes than were published" in refused.err
    assert not (tmp_path / "third").exists() and left_in(tmp_path / "other") == []


def test_imagenet_weights_of_an_installed_package_are_the_network_that_timm_builds(tmp_path, monkeypatch, zoo_command):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "cache"))
    done = zoo_command("pull", IN_A_PACKAGE, tmp_path / "mine", "--offline")
    assert (done.code, done.out) == (0, f"{tmp_path / 'mine'}: {IN_A_PACKAGE}\n")
    checkpoint = open_checkpoint(tmp_path / "mine")
    spec, card = checkpoint.spec, (tmp_path / "mine" / "README.md").read_text()
    assert (spec.architecture, spec.num_classes, spec.certified.class_names[18]) == (
        "tf_efficientnet_lite0", 1000, "magpie",
    )  # fmt: skip
    assert spec.certified.origin.sha256 == find_entry(IN_A_PACKAGE).file.sha256
    assert "license: apache-2.0" in card and "| `top-1 accuracy of the network` | 75.0 `%` | `imagenet` |" in card
    # The package lists the tensors in timm's order, which the import does not use.
    file = find_entry(IN_A_PACKAGE).file
    weights = torch.load(distribution(file.distribution).locate_file(file.name), weights_only=True)
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    x_BCHW = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        ours_BK, expected_BK = checkpoint.load_network()(x_BCHW), theirs((x_BCHW - 0.5) / 0.5)
    assert torch.equal(ours_BK, expected_BK) and expected_BK.std() > 0.1


def test_a_package_that_is_not_installed_is_told_with_the_command_that_installs_it(tmp_path):
    entry = find_entry(IN_A_PACKAGE)
    absent = replace(entry, file=replace(entry.file, distribution="certified-zoo-absent"))
    with pytest.raises(
        RequestError, match=r"certified-zoo-absent, which is not installed: pip install 'certified-zoo\["
    ):
        fetch(absent, cache=tmp_path)
    with pytest.raises(HubError, match=r"other bytes than were published: its SHA-256 is 5793.*expected 0000"):
        fetch(replace(entry, file=replace(entry.file, sha256="0" * 64)), cache=tmp_path)
    with pytest.raises(HubError, match=r"cannot read .*absent\.pth of the package"):
        fetch(replace(entry, file=replace(entry.file, name="absent.pth")), cache=tmp_path)
    assert left_in(tmp_path) == []
