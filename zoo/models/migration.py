"""Configs of earlier schema versions as this version writes them: a literal table of small steps.

A step takes the `certified` section of `config.json` as its version wrote it and returns it as the next version would.
It invents nothing: what the earlier version did not know stays unknown. A checkpoint's files are never rewritten by
this, since its manifest and its signature are of the bytes that were published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zoo.errors import CheckpointError

Section = dict[str, Any]
Step = Callable[[Section], Section]

# The first step leads from version 1 to version 2, and so on; a step, once released, is never changed.
STEPS: tuple[Step, ...] = ()
SCHEMA_VERSION = 1 + len(STEPS)


def migrate(section: Section, *, source: str, steps: Sequence[Step] = STEPS) -> Section:
    """The section in the newest schema, which is one version more than there are steps. `source` names it in errors.

    Raises: CheckpointError if it is of a newer version, of none, or not what its version writes.
    """
    newest = 1 + len(steps)
    version = section.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(f"{source} has schema_version {version!r}: expected a number from 1 to {newest}")
    if version > newest:
        raise CheckpointError(
            f"{source} has schema_version {version}, and this certified-zoo reads up to {newest}: "
            "upgrade it, pip install --upgrade certified-zoo"
        )
    for number, step in enumerate(steps[version - 1 :], start=version):
        try:
            section = {**step(dict(section)), "schema_version": number + 1}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{source} is not what schema_version {number} writes: {error!r}") from error
    return section
