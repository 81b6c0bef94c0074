"""`zoo list`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Json
from zoo.cli._plain import cell, echo

if TYPE_CHECKING:
    from zoo.hub import Listed
    from zoo.models.measurements import CertifiedAccuracy
    from zoo.models.spec import ModelSpec


def list_models(
    owner: Annotated[str | None, typer.Argument(metavar="OWNER", help="A user or an organization of the Hub.")] = None,
    catalog: Annotated[
        bool, typer.Option("--catalog", help="List the public weights that can be pulled by their catalog id.")
    ] = False,
    radius: Annotated[
        float, typer.Option("--radius", metavar="R", min=0, help="The l2 radius of the certified accuracy.")
    ] = 0.5,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The number of the owner's repositories to read.")] = 200,
    as_json: Json = False,
) -> None:
    """List the checkpoints of an owner on the Hub, or the catalog.

    Each checkpoint is listed with the claims of its card.

    Example: zoo list --catalog
    """
    from zoo.errors import RequestError

    if (owner is None) != catalog:
        raise RequestError("zoo list takes an OWNER or --catalog: zoo list alice, zoo list --catalog")
    if owner is None:
        _print_catalog(as_json=as_json)
        return
    from zoo.cli._retries import retrier
    from zoo.hub import list_checkpoints

    listed, num_models = list_checkpoints(owner, limit=limit, retrier=retrier())
    if as_json:
        echo(json.dumps([_facts(checkpoint, radius) for checkpoint in listed], indent=2))
        return
    if listed:
        _print_table(
            ("MODEL", "TASK", "METHOD", "SIGMA", f"CERTIFIED@{radius:g}", "ACR", "IMAGES"),
            [_row(checkpoint, radius) for checkpoint in listed],
        )
    for checkpoint in listed:
        if checkpoint.problem:
            echo(f"{checkpoint.repository} cannot be read: {checkpoint.problem}", err=True)
    more = "; a larger --limit reads more" if num_models == limit else ""
    echo(f"{len(listed)} checkpoints among {num_models} repositories of {owner}{more}", err=True)


def _row(listed: Listed, radius: float) -> tuple[str, ...]:
    name = listed.repository + (" (private)" if listed.private else "")
    if listed.spec is None:
        return (name, "cannot be read", *[""] * 5)
    certified, point = listed.spec.certified, _at(listed.spec, radius)
    result = certified.certification
    acr = None if result is None else result.average_certified_radius
    return (
        name,
        cell(certified.task),
        cell(certified.objective),
        "-" if certified.sigma is None else f"{certified.sigma:g}",
        "-" if point is None else f"{100 * point.accuracy:.1f} %",
        "-" if acr is None else f"{acr:.3f}",
        "-" if result is None else f"{result.num_images:,}",
    )


def _facts(listed: Listed, radius: float) -> dict[str, Any]:
    """The JSON facts about a repository; null where a value was not measured or could not be read."""
    spec = listed.spec
    certified = None if spec is None else spec.certified
    point = None if spec is None else _at(spec, radius)
    result = None if certified is None else certified.certification
    return {
        "model": listed.repository,
        "commit": listed.sha,
        "private": listed.private,
        "name": None if spec is None else spec.name,
        "task": None if certified is None else certified.task,
        "objective": None if certified is None else certified.objective,
        "sigma": None if certified is None else certified.sigma,
        "certified_accuracy": None if point is None else point.model_dump(),
        "average_certified_radius": None if result is None else result.average_certified_radius,
        "num_images": None if result is None else result.num_images,
        "n": None if result is None else result.n,
        "alpha": None if result is None else result.alpha,
        "problem": listed.problem,
    }


def _at(spec: ModelSpec, radius: float) -> CertifiedAccuracy | None:
    """The card's claim at exactly that radius."""
    result = spec.certified.certification
    points = () if result is None else result.certified_accuracy
    return next((point for point in points if point.radius == radius), None)


def _print_catalog(*, as_json: bool) -> None:
    from dataclasses import asdict

    from zoo.loading.catalog_download import weights_directory
    from zoo.models.catalog import CATALOG

    is_downloaded = {id: (weights_directory() / id).is_dir() for id in CATALOG}
    if as_json:
        facts = [{**asdict(e), "file": e.file.url, "is_downloaded": is_downloaded[e.id]} for e in CATALOG.values()]
        echo(json.dumps(facts, indent=2))
        return
    rows = [
        (e.id, e.objective, f"{100 * e.accuracy:.1f} %", "yes" if is_downloaded[e.id] else "no", e.source)
        for e in CATALOG.values()
    ]
    _print_table(("CATALOG ID", "METHOD", "REPORTED", "DOWNLOADED", "SOURCE"), rows)
    echo("REPORTED: accuracy on ImageNet according to the authors; this project did not measure it", err=True)


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        echo("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
