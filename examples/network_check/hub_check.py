"""Checks the Hub with a new private repository: push, privacy, pull, list, verify, load with timm, remove."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import torch
from huggingface_hub import get_token
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors.torch import load_file, save_file

from examples.network_check.record import FailedCheckError, Record, Result
from examples.network_check.web import TIMEOUT
from zoo import hub
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.copying import install
from zoo.checkpoints.writing import save_checkpoint
from zoo.download.retry import Retrier, TransientFailure
from zoo.hub.connection import CLIENT_SETTINGS, api, endpoint, require_reachable
from zoo.hub.refusals import transient_failure, translated
from zoo.models.architecture import build_network
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing
from zoo.verification import verify

NAME = "zoo-network-check"
PIXELS = Preprocessing(resize=32, crop=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
TIMM_SECONDS = 180
# A separate program: it only uses the Hub's id and imports nothing of this project.
TIMM = """
import sys
import timm, torch
from safetensors.torch import load_file, save_file
repository, inputs, answers = sys.argv[1:]
network = timm.create_model(f"hf_hub:{repository}", pretrained=True).eval()
mean, std = (torch.tensor(network.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
with torch.inference_mode():
    save_file({"logits": network((load_file(inputs)["x"] - mean) / std)}, answers)
"""


class _NotListedError(FailedCheckError):
    """Raised while the Hub's list does not contain the new repository yet."""


def check_hub(record: Record, *, folder: Path, retrier: Retrier) -> None:
    """Runs all steps with one new repository, which is always removed; repeats all steps unless all have passed.

    Repositories that killed runs left behind are removed first.
    """
    for repository in list(record.left_behind):
        removal = partial(_remove, record, repository, retrier)
        record.do("hub/left behind", removal, about=repository, always=True)
    if get_token() is None:
        sentence = "no token: run `hf auth login`, or set HF_TOKEN to a token with write access"
        record.do("hub", partial(Result, outcome="skipped", sentence=sentence), about="a private repository")
        return
    record.steps.pop("hub", None)
    PrivateRepository(record, folder, retrier).check()


@dataclass
class PrivateRepository:
    """One round of steps with one repository; later steps use the attributes that earlier steps set."""

    record: Record
    folder: Path
    retrier: Retrier
    repository: str | None = None
    sha: str | None = None
    pulled: Path | None = None

    def check(self) -> None:
        """Runs all steps, or none if all have passed before."""
        steps: dict[str, Callable[[], Result]] = {
            "pushed": self._pushed,
            "hidden": self._hidden,
            "pulled": self._pulled,
            "listed": self._listed,
            "verified": self._verified,
            "timm": self._timm,
        }
        names, about = [f"hub/{step}" for step in (*steps, "removed")], endpoint()
        if not all(self.record.has_passed(name, about=about) for name in names):
            for name in names:
                self.record.steps.pop(name, None)
        try:
            for name, step in steps.items():
                self.record.do(f"hub/{name}", step, about=about)
        finally:
            if self.repository is not None:
                removal = partial(_remove, self.record, self.repository, self.retrier)
                self.record.do("hub/removed", removal, about=about, always=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    @CLIENT_SETTINGS
    def _pushed(self) -> Result:
        with translated("the Hub", access="read"):
            require_reachable()
            user = self.retrier.call(lambda: api().whoami(), transient=transient_failure)
        checkpoint = untrained(self.folder / "pushed")
        self.repository = f"{user['name']}/{NAME}-{secrets.token_hex(4)}"
        self.record.left_behind.append(self.repository)
        self.record.write()  # before the repository exists, so that a killed run leaves its name
        pushed = hub.push(checkpoint, self.repository, private=True, retrier=self.retrier)
        self.sha = pushed.sha
        return _passed(f"created {self.repository} and pushed {pushed.sha[:12]}")

    def _hidden(self) -> Result:
        if self.sha is None:
            return _NOTHING_PUSHED
        url = f"{endpoint()}/api/models/{self.repository}"
        try:
            status = httpx.get(url, timeout=TIMEOUT).status_code
        except httpx.HTTPError as error:
            raise FailedCheckError(f"{url} was not reached: {error or type(error).__name__}") from error
        if status not in (401, 403, 404):
            raise FailedCheckError(f"{url} answered {status} without a token: the repository is not private")
        return _passed(f"without a token {url} answers {status}")

    def _pulled(self) -> Result:
        if self.sha is None or self.repository is None:
            return _NOTHING_PUSHED
        fetched, commit = hub.fetch(self.repository, retrier=self.retrier)
        if commit.sha != self.sha:
            raise FailedCheckError(f"pulled {commit.sha}, pushed {self.sha}")
        pulled = install(fetched, self.folder / "pulled")
        if pulled.files != open_checkpoint(self.folder / "pushed").files:
            raise FailedCheckError("the pulled files differ from the pushed files")
        self.pulled = pulled.path
        return _passed(f"{len(pulled.published_files)} files, all equal to the pushed files")

    def _listed(self) -> Result:
        if self.sha is None or self.repository is None:
            return _NOTHING_PUSHED
        owner = self.repository.partition("/")[0]

        def find() -> hub.Listed:
            listed, count = hub.list_checkpoints(owner, limit=1000, retrier=self.retrier)
            ours = next((row for row in listed if row.repository == self.repository), None)
            if ours is None:
                raise _NotListedError(f"{self.repository} is not among the {count} repositories of {owner}")
            return ours

        row = self.retrier.call(
            find,
            transient=lambda error: TransientFailure(reason=str(error)) if isinstance(error, _NotListedError) else None,
        )
        if row.spec is None or not row.private:
            raise FailedCheckError(f"{self.repository} is listed as {row.problem or 'public'}")
        return _passed(f"listed as private, {row.spec.name}")

    def _verified(self) -> Result:
        if self.pulled is None:
            return _NOTHING_PULLED
        report = verify(self.pulled)
        findings = [finding for check in report.checks for finding in check.findings]
        if report.has_failed:
            raise FailedCheckError(f"zoo verify found: {'; '.join(findings)}")
        return _passed(f"{len(report.checks)} checks without findings")

    def _timm(self) -> Result:
        if self.pulled is None or self.repository is None:
            return _NOTHING_PULLED
        inputs, answers = self.folder / "inputs.safetensors", self.folder / "answers.safetensors"
        x_BCHW = torch.rand(2, 3, PIXELS.crop, PIXELS.crop, generator=torch.Generator().manual_seed(0))
        save_file({"x": x_BCHW}, inputs)
        words = [sys.executable, "-P", "-c", TIMM, self.repository, str(inputs), str(answers)]
        environment = os.environ | {"HF_ENDPOINT": endpoint()}
        try:
            process = subprocess.run(
                words, env=environment, capture_output=True, text=True, check=False, timeout=TIMM_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise FailedCheckError(f"timm did not load the checkpoint within {TIMM_SECONDS} s") from error
        if "No module named 'timm'" in process.stderr:
            return Result(outcome="skipped", sentence="timm is not installed")
        if process.returncode != 0:
            last = process.stderr.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise FailedCheckError(f"timm did not load hf_hub:{self.repository}: {last[0]}")
        with torch.inference_mode():
            ours_BK = open_checkpoint(self.pulled).load_network()(x_BCHW)
        theirs_BK = load_file(answers)["logits"]
        if ours_BK.shape != theirs_BK.shape or not torch.allclose(ours_BK, theirs_BK, rtol=1e-5, atol=1e-6):
            raise FailedCheckError("timm's logits differ from those of the pushed network")
        return _passed(f"hf_hub:{self.repository} gives the same logits")


def untrained(path: Path) -> Checkpoint:
    """Writes a new checkpoint of a small random network, replacing an existing one."""
    shutil.rmtree(path, ignore_errors=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network("resnet10-quarter", num_classes=3, preprocessing=PIXELS)
    certified = CertifiedConfig(
        objective="standard", task="nothing", class_names=("a", "b", "c"), has_trained_head=False, preprocessing=PIXELS
    )
    return save_checkpoint(
        path, network, ModelSpec(architecture="resnet10-quarter", num_classes=3, certified=certified)
    )


@CLIENT_SETTINGS
def _remove(record: Record, repository: str, retrier: Retrier) -> Result:
    """Removes the repository, and removes its name from the record once the Hub confirms the removal."""
    with translated(repository, access="write"):
        require_reachable()
        retrier.call(lambda: api().delete_repo(repository, missing_ok=True), transient=transient_failure)
        try:
            retrier.call(lambda: api().model_info(repository), transient=transient_failure)
        except RepositoryNotFoundError:
            record.left_behind.remove(repository)
            record.write()
            return _passed(f"{repository} is removed")
    raise FailedCheckError(f"{repository} still exists: run this check again, or run `hf repos delete {repository}`")


def _passed(sentence: str) -> Result:
    return Result(outcome="passed", sentence=sentence)


_NOTHING_PUSHED = Result(outcome="skipped", sentence="needs the pushed checkpoint")
_NOTHING_PULLED = Result(outcome="skipped", sentence="needs the pulled checkpoint")
