"""`zoo serve`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from serving.commands.options import DefaultN, MaxN, MaxPixels, limits_from
from zoo.cli._options import Backend, Device


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

    limits = limits_from(n, max_n, max_pixels)
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
