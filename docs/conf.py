"""Settings of the documentation site: `make docs` builds docs/ and the docstrings into site/ (decision 0044)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.generated import GENERATED  # noqa: E402
from docs.python_reference import readable  # noqa: E402
from zoo import __version__  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Certified zoo"
copyright = "the authors, Apache-2.0"
version = release = __version__
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_static"]

myst_heading_anchors = 4  # [text](page.md#a-heading), as on GitHub; a dead anchor is a warning, and so an error
nitpicky = False  # types of other projects have no page here
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_use_type_comments = False
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "Certified zoo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": "Certified zoo"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_nav_level": 1,
    "show_toc_level": 1,
    "navigation_with_keys": False,
    "search_bar_text": "Search",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": []}

# Files of the repository outside docs/ that have a page here.
PAGES_OF_FILES = {
    "README.md": "index.md",
    "CHANGELOG.md": "contributing/changelog.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "SECURITY.md": "contributing/security.md",
    "benchmarks/RESULTS.md": "study/measured.md",
    "model_cards/digits/README.md": "study/entries.md",
    "model_cards/fashion-mnist/README.md": "study/entries.md",
    "model_cards/fashion-mnist-transfer/README.md": "study/entries.md",
}
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")
MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
INCLUDED = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)


def complete(app: Sphinx, name: str, source: list[str]) -> None:
    """Replaces the marks of a page by what they stand for, and links to files that have a page by links to it."""
    page = Path("docs", *name.split("/"))
    text = MARKER.sub(lambda mark: GENERATED[mark[1]](), source[0])
    text = INCLUDED.sub(lambda mark: moved((ROOT / mark[1]).read_text(), Path(mark[1]), page), text)
    source[0] = moved(text, page, page)


def moved(text: str, source: Path, page: Path) -> str:
    """The Markdown of a file, with relative links that hold on a page in another folder."""

    def link(match: re.Match[str]) -> str:
        target = os.path.normpath(source.parent / match[1])
        if target in PAGES_OF_FILES:
            target = f"docs/{PAGES_OF_FILES[target]}"
        return f"]({os.path.relpath(target, page.parent)}{match[2] or ''})"

    return LINK.sub(link, text)


def setup(app: Sphinx) -> None:
    app.connect("source-read", complete)
    app.connect("autodoc-process-docstring", readable)
