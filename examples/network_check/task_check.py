"""Requests the headers of every task's download addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any
from urllib.parse import urljoin

from torchvision.datasets import FashionMNIST, OxfordIIITPet

from examples.network_check.record import Record, Result
from examples.network_check.web import ask
from training.tasks.table import PUBLISHED, TASKS
from training.tasks.torchvision_dataset import TorchvisionDataset
from zoo.download.retry import Retrier

# Tasks whose reader does not have torchvision's class as a field.
DATASETS: Mapping[str, Callable[..., Any]] = {"fashion-mnist": FashionMNIST, "pets": OxfordIIITPet}
WITHOUT_DOWNLOAD = {
    "digits": "scikit-learn contains the images",
    "imagefolder": "the user names a folder",
    "unlabelled": "the user names a folder",
    "hf": "the user names a data set of the Hub",
}


def check_tasks(record: Record, addresses: Mapping[str, tuple[str, ...] | str], *, retrier: Retrier) -> None:
    """Requests the headers of every address; a task whose value is a reason instead of addresses is skipped."""
    for task, urls_or_reason in addresses.items():
        if isinstance(urls_or_reason, str):
            skipped = partial(Result, outcome="skipped", sentence=urls_or_reason)
            record.do(f"task/{task}", skipped, about=urls_or_reason)
            continue
        for url in urls_or_reason:
            record.do(f"task/{task}/{url.partition('://')[2]}", partial(_reached, url, retrier), about=url)


def _reached(url: str, retrier: Retrier) -> Result:
    headers = ask(url, retrier=retrier)
    return Result(outcome="passed", sentence=headers.sentence, facts={"url": url, **asdict(headers)})


def task_addresses() -> dict[str, tuple[str, ...] | str]:
    """The download addresses of each task, from torchvision's classes, or the reason that there are none."""
    published = {task.name: task for task in PUBLISHED}
    addresses: dict[str, tuple[str, ...] | str] = {}
    for name in TASKS:
        task = published.get(name)
        dataset = DATASETS.get(name) or getattr(task.read if task else None, "dataset", None)
        if isinstance(dataset, TorchvisionDataset):
            dataset = dataset.load()
        if name in WITHOUT_DOWNLOAD:
            addresses[name] = f"nothing to download: {WITHOUT_DOWNLOAD[name]}"
        elif task is not None and not task.downloads:
            addresses[name] = f"nothing is downloaded: {task.source}"
        else:
            addresses[name] = tuple(dataset_addresses(dataset)) or "torchvision's class has no readable address"
    return addresses


def dataset_addresses(dataset: Any) -> Iterator[str]:
    """The download addresses in a torchvision class: in its attributes or, for Caltech, in its `download` method."""
    if mirrors := getattr(dataset, "mirrors", None):
        yield from (urljoin(mirror, file) for mirror in mirrors for file, _ in dataset.resources)
    elif prefix := getattr(dataset, "_download_url_prefix", None):
        yield from (urljoin(prefix, file) for file, _ in dataset._file_dict.values())
    elif resources := getattr(dataset, "_RESOURCES", None):
        yield from (url for url, _ in resources)
    elif url := getattr(dataset, "url", None) or getattr(dataset, "_URL", None):
        yield url
    elif download := getattr(dataset, "download", None):
        constants = download.__code__.co_consts
        strings = (constant for constant in constants if isinstance(constant, str))
        yield from (url for url in strings if url.startswith(("http://", "https://")))
