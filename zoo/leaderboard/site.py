"""Writes the leaderboard's page: one HTML file with its data, and copies of the files that the numbers come from."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files as files_of
from pathlib import Path

import jinja2

from zoo.errors import RequestError
from zoo.host.atomic_write import write_all_atomically
from zoo.leaderboard.collection import FILES, Collection

PAGE = "index.html"
STYLE = "leaderboard.css"
SCRIPTS = ("conditions.js", "state.js", "chart.js", "classes.js", "table.js", "leaderboard.js")


def write_site(collection: Collection, output: Path) -> Path:
    """Writes the page and the files of a collection into the folder `output`; returns the page's path.

    The same collection gives the same bytes. Raises: RequestError if a file cannot be written.
    """
    page = render_page(collection)
    try:
        copies = {name.removeprefix(f"{FILES}/"): data for name, data in collection.files.items()}
        write_all_atomically(output / FILES, copies)
        write_all_atomically(output, {PAGE: page})
    except OSError as error:
        raise RequestError(f"the site cannot be written to {output}: {error.strerror or error}") from error
    return output / PAGE


def render_page(collection: Collection) -> str:
    """The page's HTML: style, script and data are inside, and it loads nothing."""
    static = files_of("zoo.leaderboard") / "static"
    style = (static / STYLE).read_text()
    script = "\n".join((static / name).read_text() for name in SCRIPTS)
    rows = [row.model_dump(mode="json") for row in collection.rows]
    # In JSON "<" occurs only inside strings; as an escape it cannot end the script element.
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return template.from_string((static / "page.html.j2").read_text()).render(
        style=style, script=script, data=data, style_hash=_csp_hash(style), script_hash=_csp_hash(script)
    )


def _csp_hash(text: str) -> str:
    """The hash by which the page's content security policy allows an inline element with this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
