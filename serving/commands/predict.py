"""`zoo predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Backend, Bound, Device, Json, Precision
from zoo.cli._plain import cell, echo
from zoo.errors import RequestError, ZooError

if TYPE_CHECKING:
    from serving.commands.batch_prediction import Outcome


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or directories of them.")],
    url: Annotated[str | None, typer.Option("--url", help="A served model: http://HOST:PORT/predictions/NAME.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A checkpoint directory or a Hub id, to predict without a server.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            help="certify, predict (label without a radius), or set (classes from one draw; see zoo calibrate).",
        ),
    ] = "certify",
    n: Annotated[int | None, typer.Option("--n", help="Draws per image.")] = None,
    n0: Annotated[int | None, typer.Option("--n0", help="Draws that select the class.")] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Maximum probability of a wrong certificate.")] = None,
    stopping: Annotated[str | None, typer.Option("--stopping", help="fixed, anytime or at-radius.")] = None,
    radius: Annotated[
        float | None, typer.Option("--radius", help="at-radius: the radius to certify; set: that of the calibration.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="anytime: stop when the radius can grow by at most this.")
    ] = None,
    bound: Bound = None,
    noise: Annotated[str | None, typer.Option("--noise", help="gaussian or discrete.")] = None,
    deadline_ms: Annotated[
        int | None,
        typer.Option("--deadline-ms", help="anytime, at-radius: return the certificate so far after this time."),
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="ZOO_TOKEN", help="The server's inference token.", metavar="TOKEN")
    ] = None,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Predict images with certified radii.

    A server answers (--url), or this process (--model).

    Example: zoo predict pictures --model my-model --n 1000
    """
    import asyncio

    from serving.commands.batch_prediction import by_server, on_the_spot
    from serving.protocol import Limits, parse_parameters

    if (url is None) == (model is None):
        raise RequestError("zoo predict needs either --url of a served model or --model, and not both")
    given = {"mode": mode, "n": n, "n0": n0, "alpha": alpha, "noise": noise}
    given |= {"stopping": stopping, "radius": radius, "tolerance": tolerance, "bound": bound}
    given["deadline_ms"] = deadline_ms
    parameters = {name: value for name, value in given.items() if value is not None}
    # The server checks its own caps, which are unknown here.
    parse_parameters(parameters, Limits(max_n=sys.maxsize, longest_deadline_ms=sys.maxsize))
    paths = _expand(images)
    if url is not None:
        outcomes = by_server(url, paths, parameters, token=token)
    else:
        outcomes = on_the_spot(str(model), paths, parameters, device=device, backend=backend, precision=precision)
    single = len(images) == 1 and images[0].is_file()
    with _progress(len(paths)) as advance:
        printed = _print_outcomes(outcomes, mode=mode, as_json=as_json, single=single, advance=advance)
        first_failure = asyncio.run(printed)
    if first_failure is not None:
        raise typer.Exit(first_failure.exit_code)


async def _print_outcomes(
    outcomes: AsyncIterator[Outcome], *, mode: str, as_json: bool, single: bool, advance: Callable[[], None]
) -> ZooError | None:
    """Prints every outcome as it arrives, and advances the progress bar. The first failure, or None."""
    if not as_json:
        echo("image\tlabels\tclass_names" if mode == "set" else "image\tlabel\tclass_name\tabstained\tradius")
    first_failure: ZooError | None = None
    async for path, result in outcomes:
        if isinstance(result, ZooError):
            first_failure = first_failure or result
            echo(f"zoo: {path}: {result}", err=True)
            answer: dict[str, Any] = {"error": {"type": type(result).__name__, "message": str(result)}}
        else:
            answer = result
        _print_answer(path, answer, as_json=as_json, single=single)
        advance()
    return first_failure


def _progress(num_images: int) -> AbstractContextManager[Callable[..., None]]:
    """A progress bar on stderr, for several images and a terminal; otherwise none."""
    if num_images == 1 or not sys.stderr.isatty():
        return nullcontext(lambda: None)
    from zoo.cli._console import PlainConsole
    from zoo.cli._progress import progress_bar

    return progress_bar(PlainConsole(stderr=True), "predicting", total=num_images)


def _print_answer(path: Path, answer: dict[str, Any], *, as_json: bool, single: bool) -> None:
    if as_json:
        echo(json.dumps(answer, indent=2) if single else json.dumps({"image": str(path), **answer}))
    elif "set" in answer:
        values = [json.dumps(answer["labels"]), json.dumps(answer["class_names"], ensure_ascii=False)]
        echo("\t".join(map(cell, (path, *values))))
    elif "error" not in answer:
        certificate = answer["certificate"]
        values = [
            answer["label"],
            answer["class_name"],
            answer["abstained"],
            certificate and certificate["radius"],
        ]
        echo("\t".join(cell("" if value is None else value) for value in (path, *values)))


def _expand(images: list[Path]) -> list[Path]:
    paths: list[Path] = []
    for image in images:
        if not image.exists():
            raise RequestError(f"{image} does not exist")
        paths += sorted(path for path in image.rglob("*") if path.is_file()) if image.is_dir() else [image]
    if not paths:
        raise RequestError("the given directories contain no files: pass image files, or directories of them")
    return paths
