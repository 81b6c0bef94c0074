"""Every task's download address, asked for its headers."""

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
from zoo.download.retry import Retrier

# Those whose reader does not hold torchvision's class as its field.
DATASETS: Mapping[str, Callable[..., Any]] = {"fashion-mnist": FashionMNIST, "pets": OxfordIIITPet}
WITHOUT_DOWNLOAD = {
    "digits": "scikit-learn brings them along",
    "imagefolder": "the user names a folder",
    "unlabelled": "the user names a folder",
    "hf": "the user names a data set of the Hub",
}


def check_tasks(record: Record, addresses: Mapping[str, tuple[str, ...] | str], *, retrier: Retrier) -> None:
    """Asks at every address of every task; where there is none, a sentence stands in its place and says why."""
    for task, found in addresses.items():
        if isinstance(found, str):
            record.do(f"task/{task}", partial(Result, outcome="skipped", sentence=found), about=found)
            continue
        for url in found:
            record.do(f"task/{task}/{url.partition('://')[2]}", partial(_asked, url, retrier), about=url)


def _asked(url: str, retrier: Retrier) -> Result:
    headers = ask(url, retrier=retrier)
    return Result(outcome="passed", sentence=headers.sentence, facts={"url": url, **asdict(headers)})


def task_addresses() -> dict[str, tuple[str, ...] | str]:
    """The addresses that each task downloads from, by torchvision's own classes, or why there are none."""
    published = {task.name: task for task in PUBLISHED}
    addresses: dict[str, tuple[str, ...] | str] = {}
    for name in TASKS:
        task = published.get(name)
        dataset = DATASETS.get(name) or getattr(task.read if task else None, "dataset", None)
        if name in WITHOUT_DOWNLOAD:
            addresses[name] = f"nothing to download: {WITHOUT_DOWNLOAD[name]}"
        elif task is not None and not task.downloads:
            addresses[name] = f"nothing is downloaded: {task.source}"
        else:
            addresses[name] = tuple(dataset_addresses(dataset)) or "torchvision states no address in a form to be read"
    return addresses


def dataset_addresses(dataset: Any) -> Iterator[str]:
    """The addresses that a torchvision class states: in one of its attributes, or, for Caltech, in its `download`."""
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
        yield from (each for each in constants if isinstance(each, str) and each.startswith(("http://", "https://")))
