"""axe-core in a page of a real browser.

It checks contrast, texts of images, names of controls, headings, landmarks and what the keyboard reaches.
"""

from collections.abc import Sequence
from pathlib import Path

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Page

SETTLED = "() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)).then(() => null)"
"""Waits until no color is on its way to another, as those of buttons are after a theme has set its scheme."""


def violations(tab: Page, *, rules: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The start of up to three elements for each rule that a page violates; all rules of axe unless some are given."""
    tab.evaluate(Path(AXE_FILE_PATH).read_text())
    tab.evaluate(SETTLED)
    options = {"resultTypes": ["violations"]} | ({} if rules is None else {"runOnly": list(rules)})
    found = tab.evaluate("options => axe.run(options)", options)["violations"]
    return {violation["id"]: [node["html"][:120] for node in violation["nodes"]][:3] for violation in found}
