"""`zoo health`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli._options import Json

NUM_DRAWS, ALPHA = 20, 0.001  # the least that a prediction can be asked for, and a few more


def health(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="Ask a model: http://HOST:PORT/predictions/NAME.")
    ] = None,
    management: Annotated[
        str | None, typer.Option("--management", metavar="URL", help="Ask the management which models are ready.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="The tokens that zoo serve has written.")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="ZOO_TOKEN", help="The server's inference token.", metavar="TOKEN")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds that each answer may take.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Tell whether a server lives, which models are ready, and whether one really answers.

    Exit codes: 0 all that was asked is well, 1 something is not. TorchServe's own /ping is not asked: it says Healthy
    while no model is loaded.
    """
    from zoo.errors import RequestError

    if url is None and management is None:
        raise RequestError("say what to ask: the URL of a model, or --management URL, or both")
    told: dict[str, Any] = {}
    if management is not None:
        told |= _ask_management(management, key_file, timeout)
    if url is not None:
        told |= _ask_model(url, key_file, token, timeout)
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _print(told)
    if not (told.get("ready", True) and told.get("answers", True)):
        raise typer.Exit(1)


def _ask_management(url: str, key_file: Path | None, timeout: float) -> dict[str, Any]:
    from serving.server.configuration import read_key
    from serving.server.health import health_of
    from serving.server.management import Management

    with Management(url, token=None if key_file is None else read_key(key_file), timeout=timeout) as management:
        return health_of(management).to_json()


def _ask_model(url: str, key_file: Path | None, token: str | None, timeout: float) -> dict[str, Any]:
    from serving.client import NO_RETRY, Client
    from serving.server.configuration import read_key
    from serving.server.health import PROBE_IMAGE
    from zoo.errors import RefusedError, ServerError

    token = token if key_file is None else read_key(key_file, "inference")
    try:
        with Client(url, token=token, timeout=timeout, retry=NO_RETRY) as client:
            client.predict(PROBE_IMAGE, n=NUM_DRAWS, alpha=ALPHA)
    except (ServerError, RefusedError) as error:
        return {"answers": False, "answer": str(error)}
    return {"answers": True, "answer": None}


def _print(told: dict[str, Any]) -> None:
    if "live" in told:
        typer.echo(f"live\t{_word(told['live'])}")
        for model in told["models"]:
            workers = f"{model['ready_workers']} of {model['workers']} workers"
            typer.echo(f"ready\t{_word(model['ready'])}\t{model['name']} {model['version']}, {workers}")
    if "answers" in told:
        typer.echo(f"answers\t{_word(told['answers'])}")
    for reason in (told.get("reason"), told.get("answer")):
        if reason is not None:
            typer.echo(f"zoo: {reason}", err=True)


def _word(is_well: bool) -> str:
    return "yes" if is_well else "no"
