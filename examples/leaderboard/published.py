"""Writes leaderboard/published/: the logs that authors published, as documents of certified results.

python -m examples.leaderboard.published CLONES reads the logs from git clones in CLONES/OWNER/NAME, at the commits
below. Logs of few images under a free licence are kept next to their documents. Of the other logs the documents keep
the counts.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from zoo.leaderboard.curves import count_at, counts_of, mean_radius
from zoo.leaderboard.published import Paper, PublishedImages, PublishedLog, PublishedResult, ReportedAt
from zoo.results.log import ABSTAIN, CertificationRow, parse_log

FOLDER = Path(__file__).parents[2] / "leaderboard" / "published"
FEW_IMAGES = 500
RADII = {"imagenet": (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5), "cifar10": tuple(step / 4 for step in range(10))}
ARCHITECTURES = {"imagenet": ("resnet50", 25_557_032), "cifar10": ("resnet110", 1_730_714)}
"""The number of parameters is that of torchvision's resnet50 and of code/archs/cifar_resnet.py at depth 110."""

ALPHA = 0.001
OTHER_ALPHA = (
    "Alpha is left open. The default of certify.py, 0.001, allows radii up to 3.81 sigma at n = 100,000, but the log "
    "has 3.91 sigma. The 25 largest of its distinct radii are those of n = 100,000 and alpha 0.01."
)
UNKNOWN_ALPHA = (
    "Alpha is left open. The default of certify.py is 0.001, but the logs of sigma 0.25 and 0.5 were not made with it, "
    "and no radius of this log tells."
)
CUT_OFF = "The published log ends at image 42600: 427 of the 500 images."


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository of logs and the paper that it belongs to."""

    name: str
    commit: str
    citation: str
    url: str
    licence: str | None


COHEN = Repository(
    name="locuslab/smoothing",
    commit="78a4d949e4f627d000a78908e001f8ca66c92943",
    citation="Cohen, Rosenfeld and Kolter 2019, Certified Adversarial Robustness via Randomized Smoothing",
    url="https://arxiv.org/abs/1902.02918",
    licence=None,
)
SALMAN = Repository(
    name="Hadisalman/smoothing-adversarial",
    commit="cff781d53ed5fa7df6ba567d3b51df202b6ec14e",
    citation="Salman et al. 2019, Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers",
    url="https://arxiv.org/abs/1906.04584",
    licence="MIT",
)
JEONG = Repository(
    name="jh-jeong/smoothing-consistency",
    commit="a11954aa91adb9924eecf49aaca74051e79bbb86",
    citation="Jeong and Shin 2020, Consistency Regularization for Certified Robustness of Smoothed Classifiers",
    url="https://neurips.cc/virtual/2020/poster/18269",
    licence="MIT",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A published log and what its path says about the network; `skip`, n0 and n are those of the repository."""

    repository: Repository
    path: str
    label: str
    method: str
    task: str
    sigma: float
    hyper_parameters: dict[str, bool | int | float | str | None] = field(default_factory=dict)
    alpha: float | None = ALPHA
    notes: tuple[str, ...] = ()

    @property
    def skip(self) -> int:
        if self.task == "imagenet":
            return 100
        return 20 if self.repository is COHEN else 1

    @property
    def name(self) -> str:
        return f"{self.label}_{self.task}_s{self.sigma * 100:g}"


def _cohen(task: str, architecture: str, sigma: float, *notes: str) -> Log:
    path = f"data/certify/{task}/{architecture}/noise_{sigma:.2f}/test/sigma_{sigma:.2f}"
    alpha = ALPHA if OTHER_ALPHA not in notes and UNKNOWN_ALPHA not in notes else None
    return Log(
        repository=COHEN,
        path=path,
        label="cohen2019",
        method="gaussian",
        task=task,
        sigma=sigma,
        alpha=alpha,
        notes=notes,
    )


def _salman(task: str, attack: str, epsilon: int, sigma: float, num_noise_samples: int = 1) -> Log:
    samples = "" if num_noise_samples == 1 else f"/{num_noise_samples}-multitrain"
    inner = f"{attack}{samples}/eps_{epsilon}/" + ("cifar10/resnet110" if task == "cifar10" else "resnet50")
    ours = "cifar10/ours/cifar10" if task == "cifar10" else "imagenet"
    return Log(
        repository=SALMAN,
        path=f"data/certify/best_models/{ours}/{inner}/noise_{sigma:.2f}/test/sigma_{sigma:.2f}",
        label="salman2019",
        method="smoothadv",
        task=task,
        sigma=sigma,
        hyper_parameters={"attack": attack, "epsilon": epsilon / 255, "num_noise_samples": num_noise_samples},
    )


def _jeong(task: str, path: str, sigma: float, *, method: str, lbd: float, eta: float, m: int) -> Log:
    return Log(
        repository=JEONG,
        path=f"data/certify/{task}/consistency/{path}/noise_{sigma:.2f}",
        label="jeong2020" + ("" if method == "consistency" else "_smoothadv"),
        method=method,
        task=task,
        sigma=sigma,
        hyper_parameters={"m": m, "lbd": lbd, "eta": eta},
    )


def _jeong_cifar10(base: str, sigma: float, *, m: int, lbd: float) -> Log:
    path = f"{base}/num_{m}/lbd_{lbd:.1f}/eta_0.5/cifar_resnet110"
    method = "consistency" if base == "cohen" else "smoothadv + consistency"
    return _jeong("cifar10", path, sigma, method=method, lbd=lbd, eta=0.5, m=m)


LOGS = (
    _cohen("imagenet", "resnet50", 0.25, OTHER_ALPHA, CUT_OFF),
    _cohen("imagenet", "resnet50", 0.5, OTHER_ALPHA),
    _cohen("imagenet", "resnet50", 1.0, OTHER_ALPHA),
    _cohen("cifar10", "resnet110", 0.12),
    _cohen("cifar10", "resnet110", 0.25, OTHER_ALPHA),
    _cohen("cifar10", "resnet110", 0.5, OTHER_ALPHA),
    _cohen("cifar10", "resnet110", 1.0, UNKNOWN_ALPHA),
    *(
        Log(
            repository=SALMAN,
            path=f"data/certify/best_models/cifar10/cohen/resnet110/noise_{sigma:.2f}/test/sigma_{sigma:.2f}",
            label="cohen2019_by_salman2019",
            method="gaussian",
            task="cifar10",
            sigma=sigma,
            notes=("The method of Cohen et al. 2019, in a log of Salman et al. of all test images.",),
        )
        for sigma in (0.12, 0.25, 0.5, 1.0)
    ),
    _salman("imagenet", "DDN_2steps", 512, 0.25),
    _salman("imagenet", "PGD_1step", 255, 0.5),
    _salman("imagenet", "PGD_1step", 512, 1.0),
    _salman("cifar10", "DDN_10steps_multiNoiseSamples", 64, 0.12, 8),
    _salman("cifar10", "PGD_10steps_multiNoiseSamples", 255, 0.25, 8),
    _salman("cifar10", "PGD_2steps_multiNoiseSamples", 512, 0.5, 8),
    _salman("cifar10", "PGD_10steps_multiNoiseSamples", 512, 1.0, 2),
    _jeong("imagenet", "cohen/num_2/lbd_5.0/eta_0.5", 0.5, method="consistency", lbd=5.0, eta=0.5, m=2),
    _jeong("imagenet", "cohen/num_2/lbd_5.0/eta_0.1", 1.0, method="consistency", lbd=5.0, eta=0.1, m=2),
    *(_jeong_cifar10("cohen", sigma, m=2, lbd=10.0) for sigma in (0.25, 0.5, 1.0)),
    _jeong_cifar10("salman_255.0_10_10", 0.25, m=4, lbd=2.0),
    _jeong_cifar10("salman_512.0_10_10", 0.5, m=2, lbd=1.0),
    _jeong_cifar10("salman_512.0_10_10", 1.0, m=2, lbd=1.0),
)


def document_of(log: Log, data: bytes) -> PublishedResult:
    """The document of a log with these bytes; all its numbers are computed from the log."""
    repository, rows = log.repository, parse_log(data.decode(), source=log.path)
    counts, num_images = counts_of(rows), len(rows)
    architecture, num_parameters = ARCHITECTURES[log.task]
    return PublishedResult(
        schema_version=1,
        kind="published",
        name=log.name,
        method=log.method,
        hyper_parameters=log.hyper_parameters,
        architecture=architecture,
        num_parameters=num_parameters,
        norm="l2",
        noise="gaussian",
        sigma=log.sigma,
        n0=100,
        n=100_000,
        alpha=log.alpha,
        bound="clopper-pearson",
        stopping="fixed",
        images=PublishedImages(
            task=log.task,
            split="test",
            skip=log.skip,
            maximum=rows[-1].idx + 1 if CUT_OFF in log.notes else None,
            sample=None,
            num_images=num_images,
        ),
        standard_accuracy=count_at(counts, 0.0) / num_images,
        average_certified_radius=mean_radius(counts, num_images=num_images),
        abstention_rate=_num_abstained(rows) / num_images,
        certified_accuracy=tuple(
            ReportedAt(radius=radius, accuracy=count_at(counts, radius) / num_images) for radius in RADII[log.task]
        ),
        precision=None,
        curve=None if _is_kept(log, num_images) else counts,
        notes=("Radii are rounded to nearest, as the log prints them.", *log.notes),
        source=Paper(citation=repository.citation, url=repository.url, place=f"{repository.name}, {log.path}"),
        log=PublishedLog(
            url=f"https://raw.githubusercontent.com/{repository.name}/{repository.commit}/{log.path}",
            sha256=hashlib.sha256(data).hexdigest(),
            licence=repository.licence,
        ),
    )


def _num_abstained(rows: list[CertificationRow]) -> int:
    return sum(row.predict == ABSTAIN for row in rows)


def _is_kept(log: Log, num_images: int) -> bool:
    return log.repository.licence is not None and num_images <= FEW_IMAGES


def _text_of(document: PublishedResult) -> str:
    """The document's JSON, with each step of the curve on one line."""
    return re.sub(r"\[\s+([\d.e-]+),\s+(\d+)\s+\]", r"[\1, \2]", document.model_dump_json(indent=1)) + "\n"


def main() -> None:
    """Reads every log from the clones and writes its document, and the log itself where it is kept."""
    clones = Path(sys.argv[1])
    for log in LOGS:
        repository = log.repository
        show = ("git", "-C", str(clones / repository.name), "show", f"{repository.commit}:{log.path}")
        data = subprocess.run(show, check=True, capture_output=True).stdout
        document = document_of(log, data)
        (FOLDER / f"{log.name}.json").write_text(_text_of(document))
        if document.curve is None:
            (FOLDER / f"{log.name}.tsv").write_bytes(data)
        print(f"{log.name}: {document.images.num_images} images, radius {document.average_certified_radius:.3f}")


if __name__ == "__main__":
    main()
