"""`zoo health`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli._options import Json
from zoo.cli._plain import echo

NUM_DRAWS, ALPHA = 20, 0.001  # slightly more than the minimum of a prediction


def health(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="Query a model: http://HOST:PORT/predictions/NAME.")
    ] = None,
    management: Annotated[
        str | None,
        typer.Option(
            "--management", metavar="URL", help="Query the management API for ready models; needs --key-file."
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="The file of tokens that zoo serve wrote.")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="ZOO_TOKEN", help="The server's inference token.", metavar="TOKEN")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Timeout of each request, in seconds.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Check whether a server is live and a model answers.

    With --management, also which models are ready.

    Exit codes: 0 if all requested checks pass, 1 otherwise. TorchServe's own /ping is not used: it reports Healthy
    while no model is loaded.

    Example: zoo health http://127.0.0.1:8080/predictions/my-model
    """
    from zoo.errors import RequestError

    if url is None and management is None:
        raise RequestError("zoo health needs the URL of a model, --management URL, or both")
    report: dict[str, Any] = {}
    if management is not None:
        report |= _ask_management(management, key_file, timeout)
    if url is not None:
        report |= _ask_model(url, key_file, token, timeout)
    if as_json:
        echo(json.dumps(report))
    else:
        _print(report)
    if not (report.get("ready", True) and report.get("answers", True)):
        raise typer.Exit(1)


def _ask_management(url: str, key_file: Path | None, timeout: float) -> dict[str, Any]:
    from serving.server.health import asked_health
    from serving.server.keys import read_key
    from serving.server.management import Management

    with Management(url, token=None if key_file is None else read_key(key_file), timeout=timeout) as management:
        return asked_health(management).to_json()


def _ask_model(url: str, key_file: Path | None, token: str | None, timeout: float) -> dict[str, Any]:
    from serving.client import NO_RETRY, Client
    from serving.server.health import PROBE_IMAGE
    from serving.server.keys import read_keys
    from zoo.errors import RefusedError, ServerError

    token = token if key_file is None else read_keys(key_file).get("inference")
    try:
        with Client(url, token=token, timeout=timeout, retry=NO_RETRY) as client:
            client.predict(PROBE_IMAGE, n=NUM_DRAWS, alpha=ALPHA)
    except (ServerError, RefusedError) as error:
        return {"answers": False, "answer": str(error)}
    return {"answers": True, "answer": None}


def _print(report: dict[str, Any]) -> None:
    if "live" in report:
        echo(f"live\t{_word(report['live'])}")
        for model in report["models"]:
            workers = f"{model['ready_workers']} of {model['workers']} workers"
            echo(f"ready\t{_word(model['ready'])}\t{model['name']} {model['version']}, {workers}")
    if "answers" in report:
        echo(f"answers\t{_word(report['answers'])}")
    for reason in (report.get("reason"), report.get("answer")):
        if reason is not None:
            echo(f"zoo: {reason}", err=True)


def _word(is_well: bool) -> str:
    return "yes" if is_well else "no"
