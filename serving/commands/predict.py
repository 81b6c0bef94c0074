"""`zoo predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli._options import Backend, Device, Json


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    url: Annotated[str | None, typer.Option("--url", help="A served model: http://HOST:PORT/predictions/NAME.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A checkpoint directory or a Hub id, without a server.")
    ] = None,
    mode: Annotated[str, typer.Option("--mode", help="certify, or predict without a radius.")] = "certify",
    n: Annotated[int | None, typer.Option("--n", help="Draws an image.")] = None,
    n0: Annotated[int | None, typer.Option("--n0", help="Draws that choose the class.")] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Chance of a wrong certificate.")] = None,
    stopping: Annotated[str | None, typer.Option("--stopping", help="fixed, anytime or at-radius.")] = None,
    radius: Annotated[float | None, typer.Option("--radius", help="The radius that at-radius decides.")] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="anytime: end when no more than this could be gained.")
    ] = None,
    noise: Annotated[str | None, typer.Option("--noise", help="gaussian or discrete.")] = None,
    device: Device = "auto",
    backend: Backend = "auto",
    as_json: Json = False,
) -> None:
    """Predict images with certified radii, by a server or on the spot."""
    from serving.protocol import Limits, parse_parameters
    from zoo.errors import RequestError, ZooError

    if (url is None) == (model is None):
        raise RequestError("say who answers: either --url of a served model or --model")
    given = {"mode": mode, "n": n, "n0": n0, "alpha": alpha}
    given |= {"stopping": stopping, "radius": radius, "tolerance": tolerance, "noise": noise}
    parameters = {name: value for name, value in given.items() if value is not None}
    parse_parameters(parameters, Limits(max_n=sys.maxsize))  # the server's own cap is the server's to say
    paths = _expand(images)
    single = len(images) == 1 and images[0].is_file()
    asking = _asker(url, model, device, backend, parameters)
    if not as_json:
        typer.echo("image\tlabel\tclass_name\tabstained\tradius")
    first_failure: ZooError | None = None
    for path in paths:
        try:
            answer = asking(_read(path))
        except ZooError as error:
            first_failure = first_failure or error
            answer = {"error": {"type": type(error).__name__, "message": str(error)}}
            typer.echo(f"zoo: {path}: {error}", err=True)
        _print_answer(path, answer, as_json=as_json, single=single)
    if first_failure is not None:
        raise typer.Exit(first_failure.exit_code)


def _asker(
    url: str | None, model: str | None, device: str, backend: str, parameters: dict[str, Any]
) -> Callable[[bytes], dict[str, Any]]:
    if url is not None:
        from serving.client import ask

        return lambda image: ask(url, image, parameters)
    assert model is not None
    from serving.loading import load_service
    from serving.local import ask_service
    from serving.protocol import Limits
    from zoo.device import pick_device
    from zoo.locate import locate

    picked = str(pick_device(device))
    service = load_service(locate(model), device=picked, limits=Limits(), backend=backend, spins=True)
    return lambda image: ask_service(service, image, parameters)


def _print_answer(path: Path, answer: dict[str, Any], *, as_json: bool, single: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2) if single else json.dumps({"image": str(path), **answer}))
    elif "error" not in answer:
        certificate = answer["certificate"]
        values = [
            answer["label"],
            answer["class_name"],
            answer["abstained"],
            certificate and certificate["radius"],
        ]
        typer.echo("\t".join([str(path), *("" if value is None else str(value) for value in values)]))


def _expand(images: list[Path]) -> list[Path]:
    from zoo.errors import RequestError

    paths: list[Path] = []
    for image in images:
        if not image.exists():
            raise RequestError(f"{image} does not exist")
        paths += sorted(path for path in image.rglob("*") if path.is_file()) if image.is_dir() else [image]
    if not paths:
        raise RequestError("there is no file in the given folders")
    return paths


def _read(path: Path) -> bytes:
    from zoo.errors import RequestError

    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"cannot read it: {error.strerror or error}") from error
