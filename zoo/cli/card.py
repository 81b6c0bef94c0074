"""`zoo card`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._options import Model
from zoo.cli._plain import echo


def card(
    model: Model,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the card to FILE instead of printing it.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="ID", help="State the licence of the weights, such as apache-2.0."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the card, and the licence if stated, into the checkpoint.")
    ] = False,
) -> None:
    """Print a model's card, rendered again from its measurements.

    zoo show prints the card that is in the checkpoint.

    Example: zoo card my-model --licence mit --record
    """
    from zoo.cards import render_card
    from zoo.checkpoints.writing import config_bytes, restate
    from zoo.errors import RequestError
    from zoo.loading.locate import locate
    from zoo.models.layout import CONFIG

    if record and not Path(model).is_dir():
        raise RequestError(
            f"--record writes into a checkpoint directory, and {model} is not one: "
            f"pull it first with zoo pull {model} DIR"
        )
    checkpoint = locate(model)
    spec = checkpoint.spec if licence is None else checkpoint.spec.with_licence(licence)
    if record:
        checkpoint = restate(checkpoint, licence=licence)
        spec = checkpoint.spec
    config = hashlib.sha256(config_bytes(spec)).hexdigest()
    text = render_card(spec, files={**checkpoint.files, CONFIG: config})
    if output is None:
        echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise RequestError(f"cannot write {output}: {error.strerror or error}") from error
