"""Migrates configs of earlier schema versions to the current one: a literal table of small steps.

A step takes the `certified` section of `config.json` as its version wrote it and returns it as the next version writes
it. A step invents nothing: values that the earlier version did not record stay unknown. Migration never rewrites a
checkpoint's files, because the manifest and the signature cover the bytes that were published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zoo.errors import CheckpointError

Section = dict[str, Any]
Step = Callable[[Section], Section]

# The first step leads from version 1 to version 2, and so on. A released step is never changed.
STEPS: tuple[Step, ...] = ()
SCHEMA_VERSION = 1 + len(STEPS)


def migrate(section: Section, *, source: str, steps: Sequence[Step] = STEPS) -> Section:
    """The section in the newest schema, whose version is one more than the number of steps.

    `source` names the file in errors.
    Raises: CheckpointError if the section has a newer version, no valid version, or contents that do not match its
    version.
    """
    newest = 1 + len(steps)
    version = section.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(f"{source} has schema_version {version!r}: expected a number from 1 to {newest}")
    if version > newest:
        raise CheckpointError(
            f"{source} has schema_version {version}, but this certified-zoo reads versions up to {newest}: "
            "upgrade with pip install --upgrade certified-zoo"
        )
    for number, step in enumerate(steps[version - 1 :], start=version):
        try:
            section = {**step(dict(section)), "schema_version": number + 1}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{source} does not match schema_version {number}: {error!r}") from error
    return section
