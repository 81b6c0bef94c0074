"""All checks of a checkpoint directory, in the order of their dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.errors import CheckpointError, RequestError
from zoo.models.layout import MANIFEST, SIGNATURE
from zoo.models.spec import ModelSpec
from zoo.verification.claims import (
    check_calibration,
    check_card,
    check_curve,
    check_empirical,
    check_numbers,
    check_rows,
)
from zoo.verification.integrity import Check, check_config, check_contents, check_files, check_weights, file_hashes
from zoo.verification.onnx_file import check_onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The results of all checks of a directory.

    `is_signed_by` is the file of the public key that verified the signature.
    """

    directory: Path
    checks: tuple[Check, ...]
    is_signed_by: Path | None = None

    @property
    def has_failed(self) -> bool:
        """Whether a check found a fault."""
        return any(check.findings for check in self.checks)


def verify(directory: Path, *, public_key: Path | None = None) -> Verification:
    """Checks a checkpoint directory without any download; nothing but a verified signature is trusted.

    A failed check does not stop the others. Passed checks mean that the files agree with each other. Only a verified
    signature shows who made them, and only `zoo audit` evaluates the network.
    Raises: RequestError if the directory does not exist or the public key cannot be read.
    """
    if not directory.is_dir():
        raise RequestError(f"{directory} is not a directory")
    signature = check_signature(directory, public_key)
    checks = [*_checks(directory), signature]
    signed_by = public_key if public_key is not None and signature.outcome == "passed" else None
    return Verification(directory=directory, checks=tuple(checks), is_signed_by=signed_by)


def _checks(directory: Path) -> list[Check]:
    try:
        manifest = read_manifest(directory)
    except CheckpointError as error:
        return [Check(name="manifest", note=f"{MANIFEST} lists known files only", findings=(str(error),))]
    hashes = file_hashes(directory, manifest)
    listed = Check(name="manifest", note=f"{MANIFEST} lists known files only")
    contents = check_contents(directory, hashes)
    try:
        spec = read_spec(directory)
    except (CheckpointError, OSError) as error:
        files = check_files(directory, manifest, hashes)
        return [listed, files, contents, Check(name="config", note="its schema", findings=(str(error),))]
    files = check_files(directory, manifest, hashes, network_file=spec.network_file)
    return [listed, files, contents, *_checks_of(directory, spec, hashes)]


def _checks_of(directory: Path, spec: ModelSpec, hashes: dict[str, str]) -> list[Check]:
    rows_check, rows = check_rows(directory, spec, hashes)
    return [
        check_config(directory, spec),
        check_weights(directory, spec, hashes),
        check_onnx(directory, spec, hashes),
        rows_check,
        check_numbers(spec.certified.certification, rows),
        check_empirical(spec.certified.empirical),
        check_calibration(directory, spec, hashes),
        check_card(directory, spec, hashes),
        check_curve(directory, spec, hashes, rows),
    ]


def check_signature(directory: Path, public_key: Path | None) -> Check:
    """The check that the manifest is signed with `public_key`; unchecked if no key is given."""
    name = "signature"
    if public_key is not None:
        from zoo.checkpoints.signing import why_not_signed  # cryptography, only where a key is given

        fault = why_not_signed(directory, public_key)
        return Check(name=name, note=f"{MANIFEST} signed with {public_key}", findings=() if fault is None else (fault,))
    if (directory / SIGNATURE).is_file():
        note = f"{SIGNATURE} is not checked: give --public-key FILE of a signer you trust"
        return Check(name=name, note=note, is_unchecked=True)
    return Check(name=name, note="the checkpoint is not signed", is_unchecked=True)
