"""A headless Chromium for tests, whose waits are as long as those of `tests.waiting`."""

import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.waiting import PATIENCE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
expect.set_options(timeout=1000 * PATIENCE)


@contextmanager
def headless_chromium():
    """A browser, which the end of the block closes."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=1000 * PATIENCE)
        yield browser
        browser.close()


def new_tab(browser, **options):
    """A new tab whose actions wait PATIENCE seconds for what they act on."""
    tab = browser.new_page(**options)
    tab.set_default_timeout(1000 * PATIENCE)
    return tab
