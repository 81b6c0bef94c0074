"""Fetches a catalog entry, from the network or an installed package, and imports it as a local checkpoint.

Importing this module is cheap, since `zoo list` and `zoo show` need only `weights_directory`. The modules that download
and that read weights are imported where they are called.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.download.cache import cache_directory
from zoo.download.retry import DEFAULT_RETRIER, Retrier
from zoo.errors import HubError, RequestError
from zoo.host.atomic_write import new_directory
from zoo.models.catalog import CatalogEntry, HubFile, PackageFile, WebFile
from zoo.models.spec import ReportedNumber


def weights_directory() -> Path:
    """The cache directory for fetched checkpoints."""
    return cache_directory("weights")


def fetch(entry: CatalogEntry, *, cache: Path, offline: bool = False, retrier: Retrier = DEFAULT_RETRIER) -> Checkpoint:
    """The entry's checkpoint in `cache`, fetched and imported the first time; interrupted downloads are resumed.

    Args:
        entry: The catalog entry.
        cache: The directory of the fetched checkpoints, one folder per entry.
        offline: Fail instead of downloading.
        retrier: Retries transient failures.

    Raises: HubError if the file cannot be downloaded, is not the published file, or is not cached and `offline` is set;
    RequestError if the file is in a Python package that is not installed; ForeignCheckpointError if the file cannot be
    imported, in which case the file is kept; CheckpointError if the cached checkpoint is damaged.
    """
    directory = cache / entry.id
    if offline and not directory.exists() and not isinstance(entry.file, PackageFile):
        raise HubError(f"{entry.id} is not downloaded yet, and --offline forbids network use: omit --offline")
    if not directory.exists():
        file = _obtain(entry, cache, retrier)
        _import(entry, file, directory)
        if isinstance(entry.file, WebFile):
            shutil.rmtree(file.parent, ignore_errors=True)
    return open_checkpoint(directory)


def _obtain(entry: CatalogEntry, cache: Path, retrier: Retrier) -> Path:
    if isinstance(entry.file, PackageFile):
        return _installed(entry.file, entry.id)
    if isinstance(entry.file, HubFile):
        from zoo.hub import download_file

        return download_file(entry.file.repository, entry.file.name, revision=entry.file.revision, retrier=retrier)
    from zoo.download.http import download

    target = cache / ".downloads" / entry.id / entry.file.url.rpartition("/")[2]
    if not target.exists():
        download(entry.file.url, target, sha256_prefix=entry.file.sha256_prefix, retrier=retrier)
    return target


def _installed(file: PackageFile, id: str) -> Path:
    """The file in the installed package, with its hash checked. No code of the package runs."""
    from importlib.metadata import PackageNotFoundError, distribution

    from zoo.checkpoints.checkpoint import sha256_of

    try:
        path = Path(str(distribution(file.distribution).locate_file(file.name)))
    except PackageNotFoundError as error:
        raise RequestError(
            f"{id} is a file of the Python package {file.distribution}, which is not installed: "
            f"pip install 'certified-zoo[{file.extra}]'"
        ) from error
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        raise HubError(f"cannot read {path} of the package {file.distribution}: {error.strerror or error}") from error
    if sha256 != file.sha256:
        raise HubError(
            f"{path} of the package {file.distribution} has other bytes than were published: its SHA-256 is {sha256}, "
            f"expected {file.sha256}; nothing was imported"
        )
    return path


def _published_accuracy(entry: CatalogEntry) -> ReportedNumber:
    classifier = "the network" if entry.has_head else "a linear classifier on its features"
    return ReportedNumber(
        what=f"top-1 accuracy of {classifier}",
        value=round(100 * entry.accuracy, 3),
        task="imagenet",
        conditions="validation images",
        source=entry.source,
        url=entry.file.url,
    )


def _import(entry: CatalogEntry, file: Path, directory: Path) -> None:
    """Imports into a temporary folder next to `directory`: a failed import leaves no partial `directory`."""
    from zoo.importing.importer import ImportOptions, import_file

    options = ImportOptions(
        format=entry.format,
        normalization=entry.normalization,
        architecture=entry.architecture,
        num_classes=entry.num_classes,
        fresh_head=not entry.has_head,
        task="imagenet",
        objective=entry.objective,
        hyper_parameters=entry.hyper_parameters,
        resize=entry.resize,
        interpolation=entry.interpolation,
        url=entry.file.url,
        licence=entry.licence,
        catalog_id=entry.id,
        reported=(_published_accuracy(entry),),
    )
    try:
        with new_directory(directory) as temporary:
            import_file(file, temporary, options)
    except OSError as error:
        if directory.exists():  # another process imported it first
            return
        raise HubError(f"cannot write {directory}: {error.strerror or error}") from error
