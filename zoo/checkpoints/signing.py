"""Signs checkpoints and checks signatures: Ed25519 over the manifest, and so over the SHA-256 of every file.

The signature is in a separate file next to the manifest. It covers the manifest's bytes and nothing else, so any tool
that supports Ed25519 can check it: docs/how-to/verify.md shows how to do so with OpenSSL. Keys are PEM files. No key is
looked up on a network, and the only trusted key is the one that the caller names.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.writing import being_written
from zoo.errors import CheckpointError, RequestError
from zoo.host.atomic_write import write_atomically
from zoo.host.untrusted_json import parse_json
from zoo.models.layout import MANIFEST, SIGNATURE

ALGORITHM = "ed25519"
PUBLIC_SUFFIX = ".pub"


def make_key(path: Path) -> Path:
    """Writes a new private key that only this user may read and, next to it, the public key; returns the latter's path.

    Raises: RequestError if either file exists or cannot be written.
    """
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    key = Ed25519PrivateKey.generate()
    private_bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        for file, content, mode in ((path, private_bytes, 0o600), (public, _pem(key.public_key()), 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
    except FileExistsError as error:
        raise RequestError(f"{error.filename} exists, and a key is never overwritten: choose a new file") from error
    except OSError as error:
        raise RequestError(f"cannot write the key {path}: {error.strerror or error}") from error
    return public


def sign(checkpoint: Checkpoint, key: Path) -> Path:
    """Signs the manifest of a checkpoint and returns the signature's path.

    The checkpoint is already opened, so its files have been checked against the manifest.
    Raises: RequestError if the key cannot be read; CheckpointError if the checkpoint has changed since it was opened,
    or the signature cannot be written.
    """
    private = _read_private(key)
    target = checkpoint.path / SIGNATURE
    with being_written(checkpoint.path):
        manifest = (checkpoint.path / MANIFEST).read_bytes()
        if open_checkpoint(checkpoint.path).files != checkpoint.files:
            raise CheckpointError(f"{checkpoint.path} has changed since it was opened: inspect it again, then sign it")
        content = {
            "algorithm": ALGORITHM,
            "public_key": base64.b64encode(private.public_key().public_bytes_raw()).decode(),
            "signature": base64.b64encode(private.sign(manifest)).decode(),
        }
        try:
            write_atomically(target, json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise CheckpointError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def why_not_signed(directory: Path, public_key: Path) -> str | None:
    """None if the manifest's signature in a directory is valid under the public key; otherwise the reason, in words.

    The key named in the signature file is not evidence. It is used only as a hint in the message.
    Raises: RequestError if the public key cannot be read.
    """
    trusted = _read_public(public_key)
    if not (directory / SIGNATURE).is_file():
        return f"there is no {SIGNATURE}: this checkpoint is not signed"
    try:
        content = parse_json((directory / SIGNATURE).read_bytes())
        algorithm, stated_key = content["algorithm"], base64.b64decode(content["public_key"], validate=True)
        signature = base64.b64decode(content["signature"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        return f"{SIGNATURE} is damaged: {type(error).__name__}: {error}"
    if algorithm != ALGORITHM:
        return f"{SIGNATURE} has the algorithm {algorithm!r}, expected {ALGORITHM!r}"
    try:
        trusted.verify(signature, (directory / MANIFEST).read_bytes())
    except InvalidSignature:
        if stated_key != trusted.public_bytes_raw():
            return f"it was signed with another key, {fingerprint(stated_key)}, not with {public_key}"
        return f"the signature does not match {MANIFEST}: {MANIFEST} or {SIGNATURE} was changed"
    return None


def fingerprint(public_key: bytes) -> str:
    """A raw public key in base64: 44 characters, short enough to compare by eye."""
    return base64.b64encode(public_key).decode()


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_content_of(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RequestError(
            f"{path} is not an unencrypted private key in PEM form: create one with zoo sign MODEL --key FILE --new-key"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RequestError(f"{path} is not an Ed25519 key: create one with zoo sign MODEL --key FILE --new-key")
    return key


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(_content_of(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestError(f"{path} is not a public key in PEM form: give the signer's FILE{PUBLIC_SUFFIX}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RequestError(f"{path} is not an Ed25519 public key: give the signer's FILE{PUBLIC_SUFFIX}")
    return key


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"cannot read the key {path}: {error.strerror or error}") from error


def _pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
