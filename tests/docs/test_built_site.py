"""The built site in a real browser: `make docs` first; the tests are skipped if there is no site, or an older one.

axe-core checks contrast, texts of images, names of controls, headings and what the keyboard reaches.
"""

import shutil
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import expect, sync_playwright

from docs.links import findings, pages
from tests.docs.blocks import ROOT

SITE = ROOT / "site"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOOKED_AT = (
    "index", "start", "how-to/few-labels", "how-to/serve", "explanation/certificate", "explanation/bounds",
    "reference/commands", "reference/http", "reference/python/zoo", "study/index",
)  # fmt: skip
"""One page of every kind."""


def is_fresh() -> bool:
    """Whether the site is there and no page or picture is newer."""
    built = SITE / "index.html"
    sources = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".svg", ".css", ".py")]
    return built.is_file() and all(path.stat().st_mtime <= built.stat().st_mtime for path in sources)


pytestmark = pytest.mark.skipif(not is_fresh(), reason="there is no built site of these sources: make docs")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser):
    """A new tab of 1280 x 900 pixels; a request to another place than the site fails the test."""
    tab, requested = browser.new_page(viewport={"width": 1280, "height": 900}), []
    tab.on("request", lambda request: requested.append(request.url))
    yield tab
    tab.close()
    assert [url for url in requested if not url.startswith((SITE.as_uri(), "data:"))] == []


def test_no_link_is_dead_and_nothing_comes_from_elsewhere():
    assert len(pages(SITE)) > 80 and findings(SITE) == []


@pytest.mark.parametrize(
    ("width", "scheme", "run_only"), [(400, "light", None), (1280, "light", None), (1280, "dark", ["color-contrast"])]
)
def test_axe_finds_nothing_on_the_pages(width, scheme, run_only, tab):
    """The dark scheme differs from the light one only in its colors."""
    options = {"resultTypes": ["violations"]} | ({} if run_only is None else {"runOnly": run_only})
    found = {}
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 900})
    for name in LOOKED_AT:
        tab.goto((SITE / f"{name}.html").as_uri())
        tab.evaluate(Path(AXE_FILE_PATH).read_text())
        result = tab.evaluate("options => axe.run(options)", options)
        for violation in result["violations"]:
            found[name, violation["id"]] = [node["html"][:120] for node in violation["nodes"]][:3]
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} pixels"
    assert found == {}


def test_the_keyboard_reaches_the_content_the_menu_and_the_search(tab):
    tab.goto((SITE / "start.html").as_uri())
    tab.keyboard.press("Tab")
    expect(tab.locator(":focus")).to_have_text("Skip to main content")
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == "#main-content"
    tab.goto((SITE / "start.html").as_uri())
    reached = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        reached.append(tab.locator(":focus").inner_text().strip())
    assert {"How-to", "Reference"} <= set(reached)
    tab.keyboard.press("Control+k")
    tab.keyboard.type("sigma")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=sigma*")


def test_the_reference_has_an_address_per_command(tab):
    tab.goto((SITE / "reference/commands.html").as_uri() + "#zoo-certify")
    expect(tab.get_by_role("heading", name="zoo certify")).to_be_in_viewport()
