"""`zoo archive | serve | predict`.

What computes is imported inside a command, so that `zoo --help` needs none of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Backend, Device, Json, Model

if TYPE_CHECKING:
    from serving.protocol import Limits

DefaultN = Annotated[int, typer.Option("--n", min=1, help="Draws of a certification that asks for no other number.")]
MaxN = Annotated[int, typer.Option("--max-n", min=1, help="Most draws a request may ask for.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", min=1, help="Most pixels an image may have.")]


def archive(
    model: Model,
    store: Annotated[Path, typer.Option("--store", help="The folder of TorchServe's archives.", metavar="DIR")],
    n: DefaultN = 1_000,
    max_n: MaxN = 100_000,
    max_pixels: MaxPixels = 33_554_432,
    device: Device = "auto",
    backend: Backend = "auto",
) -> None:
    """Pack a checkpoint and its handler into a .mar for TorchServe."""
    from serving.archive import make_archive
    from zoo.locate import locate

    limits = _limits(n, max_n, max_pixels)
    typer.echo(make_archive(locate(model), store, limits=limits, device=device, backend=backend))


def serve(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Checkpoint directories or Hub ids.")],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port for predictions; 0 finds a free one.")
    ] = 8080,
    n: DefaultN = 1_000,
    max_n: MaxN = 100_000,
    max_pixels: MaxPixels = 33_554_432,
    device: Device = "auto",
    backend: Backend = "auto",
) -> None:
    """Serve checkpoints with TorchServe on the loopback address until Ctrl-C."""
    import tempfile

    from serving.archive import make_archive
    from serving.server import TorchServe
    from zoo.device import pick_device
    from zoo.errors import RequestError
    from zoo.locate import locate
    from zoo.runtime import require_backend_name

    limits = _limits(n, max_n, max_pixels)
    pick_device(device)
    require_backend_name(backend)
    checkpoints = [locate(model) for model in models]
    names = [checkpoint.spec.name for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        raise RequestError(f"two of the models are called alike ({', '.join(names)}): serve them one at a time")
    with _interrupted_by_signals(), tempfile.TemporaryDirectory() as store:
        archives = [
            make_archive(each, Path(store), limits=limits, device=device, backend=backend) for each in checkpoints
        ]
        typer.echo("starting TorchServe...", err=True)
        with TorchServe(archives, port=port or None) as server:
            for path in archives:
                typer.echo(f"ready: curl -F data=@IMAGE -F mode=certify -F n={n} {server.prediction_url(path)}")
            try:
                server.wait()
            except KeyboardInterrupt:
                typer.echo("stopping TorchServe...", err=True)


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


def _limits(n: int, max_n: int, max_pixels: int) -> Limits:
    from pydantic import ValidationError

    from serving.protocol import Limits
    from zoo.errors import RequestError

    try:
        return Limits(n=n, max_n=max_n, max_pixels=max_pixels)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, so that nothing is left behind."""
    import signal

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
