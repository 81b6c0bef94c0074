"""All checks of one checkpoint directory, in the order in which they depend on each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.checkpoints.signing import why_not_signed
from zoo.errors import CheckpointError, RequestError
from zoo.models.layout import MANIFEST, SIGNATURE
from zoo.models.spec import ModelSpec
from zoo.verification.claims import check_card, check_curve, check_empirical, check_numbers, check_rows
from zoo.verification.integrity import Check, check_config, check_contents, check_files, check_weights, file_hashes
from zoo.verification.onnx_file import check_onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was asked of a directory and found. `is_signed_by` is the file of the key whose signature was found good."""

    directory: Path
    checks: tuple[Check, ...]
    is_signed_by: Path | None = None

    @property
    def has_failed(self) -> bool:
        """Whether anything speaks against the checkpoint."""
        return any(check.findings for check in self.checks)


def verify(directory: Path, *, public_key: Path | None = None) -> Verification:
    """Checks a checkpoint directory by itself: nothing is downloaded, and nothing but the signature is believed.

    All that can be looked at is, whatever was found before. A check that passes says that the files agree with each
    other; only a good signature says who made them, and only `zoo audit` asks the network.
    Raises: RequestError if there is no such directory, or the public key cannot be read.
    """
    if not directory.is_dir():
        raise RequestError(f"{directory} is no directory")
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
    checks = [
        Check(name="manifest", note=f"{MANIFEST} lists known files only"),
        check_files(directory, manifest, hashes),
        check_contents(directory, hashes),
    ]
    try:
        spec = read_spec(directory)
    except (CheckpointError, OSError) as error:
        return [*checks, Check(name="config", note="its schema", findings=(str(error),))]
    return [*checks, *_checks_of(directory, spec, hashes)]


def _checks_of(directory: Path, spec: ModelSpec, hashes: dict[str, str]) -> list[Check]:
    rows_check, rows = check_rows(directory, spec, hashes)
    return [
        check_config(directory, spec),
        check_weights(directory, spec, hashes),
        check_onnx(directory, spec, hashes),
        rows_check,
        check_numbers(spec.certified.certification, rows),
        check_empirical(spec.certified.empirical),
        check_card(directory, spec, hashes),
        check_curve(directory, spec, hashes, rows),
    ]


def check_signature(directory: Path, public_key: Path | None) -> Check:
    """The manifest is signed with that key. Without a key a signature is not good and not bad, only not checked."""
    name = "signature"
    if public_key is not None:
        why_not = why_not_signed(directory, public_key)
        return Check(
            name=name, note=f"{MANIFEST} signed with {public_key}", findings=() if why_not is None else (why_not,)
        )
    if (directory / SIGNATURE).is_file():
        note = f"{SIGNATURE} is there; give --public-key FILE of a signer you trust to have it checked"
        return Check(name=name, note=note, is_unchecked=True)
    return Check(name=name, note="not signed", is_unchecked=True)
