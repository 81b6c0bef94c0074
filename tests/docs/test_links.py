"""The checker of links finds what is dead in a built site, and the sources of the pages have no dead link either."""

import re
from urllib.parse import unquote

import pytest

from docs.links import findings
from tests.docs.blocks import FENCE, ROOT, pages

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)
MARK = re.compile(r"<!-- (generated|file): ")


def site_of(folder, **files):
    """A site with these files; `page_html` is page.html."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_a_site_without_dead_links_has_no_findings(tmp_path):
    site = site_of(
        tmp_path, page_html='<h1 id="top">x</h1><a href="#top">x</a><a href="other.html#far">x</a>'
        '<a href="https://elsewhere.example/x">x</a><img src="data:image/png;base64,AA">',
        other_html='<p id="far"></p><a href="page.html">x</a><link href="style.css" rel="stylesheet">',
        style_css="p { background: url(data:image/png;base64,AA) }",
    )  # fmt: skip
    assert findings(site) == []


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ('<a href="gone.html">x</a>', "gone.html: there is no such file"),
        ('<a href="folder/">x</a>', "folder/: there is no such file"),
        ('<a href="#gone">x</a>', "#gone: there is no such anchor"),
        ('<a href="other.html#gone">x</a>', "other.html#gone: there is no such anchor"),
        ('<a href="/other.html">x</a>', "/other.html: it leaves the site"),
        ('<a href="../other.html">x</a>', "../other.html: it leaves the site"),
        ('<img src="gone.png">', "gone.png: there is no such file"),
        ('<img srcset="other.html 1x, gone.png 2x">', "gone.png: there is no such file"),
        ('<script src="https://cdn.example/x.js"></script>', "https://cdn.example/x.js: another site serves it"),
        ('<link href="//fonts.example/x.css" rel="stylesheet">', "//fonts.example/x.css: another site serves it"),
        ('<p style="background: url(https://x.example/y.png)">', "https://x.example/y.png: another site serves it"),
    ],
)
def test_what_is_dead_or_comes_from_another_site_is_found(tag, says, tmp_path):
    site = site_of(tmp_path, page_html=tag, other_html='<p id="far"></p>')
    assert findings(site) == [f"page.html: {says}"]


def test_a_style_sheet_that_loads_a_font_of_another_site_is_found(tmp_path):
    site = site_of(tmp_path, page_html="", style_css='@import "https://fonts.example/x.css";')
    assert findings(site) == ["style.css: https://fonts.example/x.css: another site serves it"]


def anchors_of(path):
    """The anchors of a page's headings, as GitHub and MyST derive them; those of a generated page are unknown: None."""
    text = path.read_text()
    if MARK.search(text):
        return None
    names = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading) for heading in HEADING.findall(FENCE.sub("", text))]
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere_also_in_the_sources(path):
    dead = []
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = (path.parent / file) if file else path
        known = anchors_of(target) if target.suffix == ".md" and target.is_file() else None
        if not target.exists() or (anchor and known is not None and anchor not in known):
            dead.append(link)
    assert dead == []
