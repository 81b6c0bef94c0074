"""The built site in a real browser: `make docs` first; the tests are skipped if there is no site, or an older one."""

from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from docs.links import findings, pages
from tests.axe import violations
from tests.browser import CHROMIUM, headless_chromium, new_tab
from tests.docs.blocks import ROOT

SITE = ROOT / "site"
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
    with headless_chromium() as browser:
        yield browser


@contextmanager
def opened(browser):
    """A new tab of 1280 x 900 pixels; a request to another place than the site is an error."""
    tab, requested = new_tab(browser, viewport={"width": 1280, "height": 900}), []
    tab.on("request", lambda request: requested.append(request.url))
    yield tab
    tab.close()
    assert [url for url in requested if not url.startswith((SITE.as_uri(), "data:"))] == []


@pytest.fixture
def tab(browser):
    """A new tab of 1280 x 900 pixels."""
    with opened(browser) as tab:
        yield tab


def test_no_link_is_dead_and_nothing_comes_from_elsewhere():
    assert len(pages(SITE)) > 80 and findings(SITE) == []


LOOKS = {(400, "light"): None, (1280, "light"): None, (1280, "dark"): ["color-contrast"]}
"""The rules that axe applies for each width and color scheme; None are all. The schemes differ only in their colors."""


@pytest.fixture(scope="module")
def looked_at(browser):
    """What is wrong with the pages by width and color scheme, each in a load of its own: colors change gradually."""
    found = {look: {} for look in LOOKS}
    with opened(browser) as tab:
        for name in LOOKED_AT:
            for (width, scheme), rules in LOOKS.items():
                tab.emulate_media(color_scheme=scheme)
                tab.set_viewport_size({"width": width, "height": 900})
                tab.goto((SITE / f"{name}.html").as_uri())  # at load, the theme decides what can be scrolled
                expect(tab.locator("html")).to_have_attribute("data-theme", scheme)
                for rule, places in violations(tab, rules=rules).items():
                    found[width, scheme][name, rule] = places
                widest = tab.evaluate("document.documentElement.scrollWidth")
                if widest > width:
                    found[width, scheme][name, "is wider than the window"] = widest
    return found


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_on_the_pages_and_they_fit_the_window(look, looked_at):
    assert looked_at[look] == {}


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
