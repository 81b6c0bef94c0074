"""Builds the site: `python -m docs [site]`. A warning, a dead link or a file of another site is an error."""

import sys
from pathlib import Path

from sphinx.cmd.build import main

from docs.links import findings, pages

FOLDER = Path(__file__).parent


def build(site: Path) -> int:
    """Builds the site into a folder; the exit code.

    Every build starts from nothing, because Sphinx does not know which pages depend on changed code.
    """
    failed = main(
        ["-b", "html", "-E", "-a", "-q", "-W", "--keep-going", "-d", f"{site}/.doctrees", str(FOLDER), str(site)]
    )
    if failed:
        return failed
    wrong = findings(site)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{site}/index.html: {len(pages(site))} pages, {len(wrong)} dead or foreign links", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else "site")))
