"""Our docstrings as the Python reference prints them: they are plain text with Markdown's backticks, and Sphinx reads
reStructuredText."""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LABEL = re.compile(r"^(Raises|Returns|Source|Sources|Example): (?=\S)")
TABLE_ROW = re.compile(r"^(\s*)(\w[\w.]*) {2,}(\S.*)$")


def readable(app: Any, what: str, name: str, owner: Any, options: Any, lines: list[str]) -> None:
    """Rewrites the docstring of `owner` in place, as Sphinx's event `autodoc-process-docstring` asks."""
    lines[:] = as_restructured_text(lines, is_module=what == "module")


def as_restructured_text(lines: list[str], *, is_module: bool) -> list[str]:
    """The docstring with code in double backticks, `Raises: ...` as a paragraph, and lists of names as code."""
    if is_module:
        return _module(lines)
    result: list[str] = []
    for line in lines:
        if LABEL.match(line) and result and result[-1].strip():
            result.append("")
        result.append(LABEL.sub(r"**\1:** ", CODE.sub(r"``\1``", line)))
    return result


def _module(lines: list[str]) -> list[str]:
    """A module's docstring; its tables of names, which align words by spaces, are kept as they are."""
    result: list[str] = []
    is_table = False
    for line in lines:
        row = bool(TABLE_ROW.match(line)) or "── " in line
        if row and not is_table:
            result += ["", ".. code-block:: text", ""]
        elif is_table and not row and line.strip():
            result.append("")
        is_table = row or (is_table and not line.strip())
        result.append(f"   {line}" if is_table and line.strip() else CODE.sub(r"``\1``", line))
    return result
