"""JSON of unknown origin. Deeper nesting than any of our files has would exceed Python's recursion limit somewhere."""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100


def parse_json(text: bytes | str) -> Any:
    """The parsed text. Raises: ValueError if it is not JSON, is not UTF-8, or is nested deeper than MAX_DEPTH."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _children(each) if isinstance(inner, list | dict)]
        if not level:
            return value
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
