"""What the pages talk about: a trained model, pictures, a Hub and a server, all small."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from serving.protocol import Limits
from serving.service.loading import load_service
from tests.loopback_hub import LoopbackHub
from tests.parallel import made_once
from tests.serving.in_process import served_in_process
from training.tasks import open_task
from zoo import hub as zoo_hub
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.signing import make_key, sign

SHAPES = ("cat", "dog", "bird")
LIMITS = Limits(n=100, max_open_requests=12)


def draw_pictures(folder: Path, *, num_per_class: int) -> None:
    """Pictures of 24 x 20 pixels in three classes: discs, squares and triangles, at places and in colours by chance."""
    generator = torch.Generator().manual_seed(0)
    for kind in SHAPES:
        (folder / kind).mkdir(parents=True)
        for number in range(1, num_per_class + 1):
            x, y, *colour = (int(each) for each in torch.randint(0, 8, (5,), generator=generator))
            image = Image.new("RGB", (24, 20), (20 * colour[2], 30, 60))
            draw, fill = ImageDraw.Draw(image), (120 + 15 * colour[0], 120 + 15 * colour[1], 40)
            if kind == "cat":
                draw.ellipse((x, y, x + 11, y + 11), fill=fill)
            elif kind == "dog":
                draw.rectangle((x, y, x + 11, y + 11), fill=fill)
            else:
                draw.polygon(((x, y + 11), (x + 11, y + 11), (x + 5, y)), fill=fill)
            image.save(folder / kind / f"{number}.jpg", quality=95)


@pytest.fixture(scope="session")
def base(certified_digits: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that every page starts from; a test takes a copy."""

    def make(folder: Path) -> None:
        for name in ("my-model", "mine", "other", "runs/demo/pulled"):
            shutil.copytree(certified_digits.path, folder / name)
        for name in ("rows.tsv", "own.tsv"):
            shutil.copy(certified_digits.path / "certification.tsv", folder / name)
        torch.save(load_file(certified_digits.path / "model.safetensors"), folder / "best.pth.tar")
        draw_pictures(folder / "pictures", num_per_class=6)
        digit = open_task("digits", data_dir=folder).test[3]
        for name in ("digit.png", "other.png", "cat.jpg", "runs/demo/digit.png", "folder/1.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            digit.save(folder / name)
        make_key(folder / "theirs.pem")

    return made_once("pages", make, tmp_path_factory)


@pytest.fixture
def place(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the base folder, in which a page's commands run."""
    folder = Path(shutil.copytree(base, tmp_path / "place"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def pushed(hub: LoopbackHub, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackHub:
    """A Hub with the repositories that pages fetch, and the login of `you`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    signed = Path(shutil.copytree(place / "my-model", tmp_path / "signed"))
    sign(open_checkpoint(signed), place / "theirs.pem")
    for owner, name, tag in (("them", "their-model", "v2"), ("owner", "name", "v1")):
        hub.tokens[f"hf_{owner}"] = owner
        monkeypatch.setenv("HF_TOKEN", f"hf_{owner}")
        zoo_hub.push(open_checkpoint(signed), f"{owner}/{name}", tags=[tag])
    hub.tokens["hf_you"] = "you"
    monkeypatch.setenv("HF_TOKEN", "hf_you")
    return hub


@pytest.fixture(scope="session")
def url(certified_digits: Checkpoint) -> Iterator[str]:
    """The address of the served my-model."""
    with serving(certified_digits.path) as served:
        yield served


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serves a checkpoint in this process; gives the address of its predictions."""
    service = load_service(open_checkpoint(path), device="cpu", limits=LIMITS)
    with served_in_process(service) as origin:
        yield f"{origin}/predictions/{service.spec.name}"
