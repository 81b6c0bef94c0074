"""`zoo serve`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.commands.engines import ClusterWords, EngineName, Sources, prepared_server
from serving.commands.options import DefaultN, Limit, MaxN, MaxPixels
from zoo.cli._options import Backend, Device, Precision
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from serving.server.engine import Engine


def serve(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Checkpoint directories or Hub ids.")],
    engine: Annotated[
        EngineName,
        typer.Option(
            "--engine",
            help="torchserve; asgi: a plain server without Java; ray: replicas in a Ray cluster (extra ray).",
        ),
    ] = EngineName.TORCHSERVE,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of predictions; 0 selects a free one.")
    ] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address of predictions; everything else is on loopback.")] = (
        "127.0.0.1"
    ),
    replicas: Annotated[
        int,
        typer.Option("--replicas", min=1, help="Replicas of each model; with --max-replicas, the least number (ray)."),
    ] = 1,
    max_replicas: Annotated[
        int | None,
        typer.Option(
            "--max-replicas",
            min=1,
            help="Largest number of replicas, which the open draws decide; by default as --replicas (ray).",
            show_default=False,
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="A running Ray cluster of which this machine is a node, or auto; by default one is started (ray).",
        ),
    ] = None,
    token: Annotated[
        bool | None,
        typer.Option(
            "--token/--no-token",
            help="Require a token for predictions; the default beyond loopback.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            metavar="FILE",
            help="File with a line NAME TOKEN per client, read again when it changes (asgi, ray).",
        ),
    ] = None,
    management_port: Annotated[
        int,
        typer.Option("--management-port", min=0, max=65535, help="Port of the management API; 0 selects a free one."),
    ] = 0,
    metrics_port: Annotated[
        int,
        typer.Option("--metrics-port", min=0, max=65535, help="Port of /live, /ready, /metrics; 0 selects a free one."),
    ] = 0,
    noise_secret: Annotated[
        Path | None,
        typer.Option(
            "--noise-secret",
            metavar="FILE",
            help="File with a secret that servers share whose repeatable answers must be equal.",
        ),
    ] = None,
    families: Annotated[
        Path | None,
        typer.Option(
            "--families",
            metavar="DIR",
            help="Directory that keeps the counts of questions about each image when the server stops.",
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="Directory for the archives; enables zoo models."),
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(
            "--drain-seconds", min=0, help="Time for open requests to finish when the server stops, in seconds."
        ),
    ] = 30.0,
    logs: Annotated[
        Path | None, typer.Option("--logs", metavar="DIR", help="Directory for the logs; kept when the server ends.")
    ] = None,
    echo_logs: Annotated[bool, typer.Option("--echo-logs", help="Also write warnings to stderr, as JSON lines.")] = (
        False
    ),
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads per worker; by default the models share the cores.")
    ] = None,
    ui: Annotated[bool, typer.Option("--ui", help="Also serve a web page to try the models, on loopback.")] = False,
    ui_port: Annotated[
        int, typer.Option("--ui-port", min=0, max=65535, help="Port of the web page; 0 selects a free one.")
    ] = 0,
    n: DefaultN = 1_000,
    max_n: MaxN = 100_000,
    max_pixels: MaxPixels = 25_000_000,
    limit: Limit = None,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
) -> None:
    """Serve checkpoints, by default on the loopback address.

    Ctrl-C, SIGTERM, SIGHUP or SIGQUIT ends the server.

    After the first such signal the server refuses new requests and answers the open ones; a second signal ends the
    server immediately.

    Example: zoo serve my-model --engine asgi --ui
    """
    from serving.server import Ports, ServerOptions
    from serving.server.record import ServerRecord
    from serving.server.signals import interrupting_signals
    from serving.service.noise_secret import read_noise_secret

    options = ServerOptions(
        host=host,
        token=token,
        tokens=tokens,
        threads=threads,
        can_switch_models=store is not None,
        noise_secret=None if noise_secret is None else read_noise_secret(noise_secret),
        families=families,
        logs=logs,
        echoes_logs=echo_logs,
    )
    ports = Ports.find(port or None, management=management_port or None, metrics=metrics_port or None, host=host)
    with interrupting_signals() as ignore_further_signals, ExitStack() as opened:
        try:
            sources = Sources(
                models=models,
                store=store,
                n=n,
                max_n=max_n,
                max_pixels=max_pixels,
                limits=limit or [],
                device=device,
                backend=backend,
                precision=precision,
            )
            cluster = ClusterWords(replicas=replicas, max_replicas=max_replicas, ray_address=ray_address)
            prepared = prepared_server(engine, sources, cluster=cluster, ports=ports, options=options, opened=opened)
            echo("starting the server...", err=True)
            server = opened.enter_context(prepared)
            if store is not None:
                opened.enter_context(ServerRecord.of(server).kept_in(store))
            try:
                _print_addresses(server, n=n)
                if ui:
                    _open_page(opened, server, port=ui_port)
                server.wait()
            except KeyboardInterrupt:
                _drain(server, drain_seconds)
        finally:
            ignore_further_signals()  # a further signal must not interrupt the clean-up


def _print_addresses(server: Engine, *, n: int) -> None:
    """Prints the addresses of predictions on stdout and all others on stderr."""
    from serving.server.ports import is_loopback

    echo(f"/live, /ready, /metrics: {server.operator_url}; management: {server.management_url}", err=True)
    use = "zoo predict --token takes the inference key, and management the management key"
    if not server.options.wants_token:
        use = "management takes the management key, predictions need none"
    echo(f"tokens: {server.key_file}; {use}", err=True)
    if not is_loopback(server.options.host):
        echo(f"listening on {server.options.host} without TLS: put a proxy before it, as in deploy/", err=True)
    shown = "-H 'Authorization: Bearer TOKEN' " if server.options.wants_token else ""
    for archive in server.archives:
        echo(f"ready: curl {shown}-F data=@IMAGE -F mode=certify -F n={n} {server.prediction_url(archive.path)}")


def _open_page(opened: ExitStack, server: Engine, *, port: int) -> None:
    from serving.page.server import serve_page

    page = serve_page(
        server.url,
        [archive.name for archive in server.archives],
        port=port,
        token=server.token("inference"),
        max_body_bytes=server.options.max_request_bytes,
        describe=server.interface,
    )
    echo(f"page: {opened.enter_context(page)}")


def _drain(server: Engine, seconds: float) -> None:
    """Waits until open requests are answered. A second signal ends the wait."""
    echo(
        f"stopping: open requests have {seconds:g} s, new ones are refused; a second signal ends it immediately",
        err=True,
    )
    try:
        if server.drain(seconds):
            return
    except KeyboardInterrupt:
        pass
    echo("zoo: some requests were still open and are cut off", err=True)
    raise typer.Exit(1)
