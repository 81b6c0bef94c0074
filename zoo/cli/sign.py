"""`zoo sign`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._plain import echo


def sign(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key, an Ed25519 key in PEM form.")],
    new_key: Annotated[bool, typer.Option("--new-key", help="First create the key and FILE.pub next to it.")] = False,
) -> None:
    """Sign a checkpoint's manifest, and thereby all its files.

    The holders of the public key can then detect changes: zoo verify MODEL --public-key FILE.pub.

    Example: zoo sign my-model --key mine.pem --new-key
    """
    from zoo.checkpoints.checkpoint import open_checkpoint
    from zoo.checkpoints.signing import make_key
    from zoo.checkpoints.signing import sign as sign_manifest

    checkpoint = open_checkpoint(model)
    if new_key:
        public = make_key(key)
        echo(f"created {key}: keep it secret, and give {public} to the people who should trust you", err=True)
    echo(f"{sign_manifest(checkpoint, key)}: signs {checkpoint.spec.name}")
