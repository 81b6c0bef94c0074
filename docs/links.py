"""Dead links and anchors of a built site, and files that another site serves."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass
class Page(HTMLParser):
    """The links, loaded files and anchors of an HTML page."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "href" in given:
            self.loaded.append(given["href"])
        self.loaded += [given[name] for name in ("src", "poster", "data") if name in given]
        self.loaded += [part.split()[0] for part in given.get("srcset", "").split(",") if part.split()]
        self.loaded += [first or second for first, second in CSS_URL.findall(given.get("style", ""))]


@cache
def read_page(path: Path) -> Page:
    """The parsed page."""
    page = Page()
    page.feed(path.read_text())
    return page


def pages(site: Path) -> list[Path]:
    """The pages of a built site; HTML files in _static belong to the theme."""
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


def findings(site: Path) -> list[str]:
    """What is wrong with a built site, one sentence each; empty if nothing is."""
    site = site.resolve()
    found = []
    for path in pages(site):
        page, name = read_page(path), path.relative_to(site)
        found += [f"{name}: {link}: {reason}" for link in page.links if (reason := dead(link, path, site))]
        for file in page.loaded:
            reason = "another site serves it" if is_elsewhere(file) else dead(file, path, site)
            found += [f"{name}: {file}: {reason}"] if reason else []
    for path in sorted(site.rglob("*.css")):
        for first, second in CSS_URL.findall(path.read_text()):
            if is_elsewhere(first or second):
                found.append(f"{path.relative_to(site)}: {first or second}: another site serves it")
    return found


def is_elsewhere(link: str) -> bool:
    """Whether a link names another host."""
    return bool(urlsplit(link).netloc)


def dead(link: str, path: Path, site: Path) -> str | None:
    """Why a link of the page at `path` leads nowhere; None if it leads somewhere, or away from the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if parts.path.startswith("/") or not target.is_relative_to(site):
        return "it leaves the site"
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "there is no such file"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read_page(target).anchors:
        return "there is no such anchor"
    return None
