"""Debian's Chromium, driven without a screen, for tests of pages. `python3 -m lab tools --browser` installs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

EXECUTABLE = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def page(**context: Any) -> Iterator[Page]:
    """An empty page in a browser of its own, which is closed after the block.

    Args:
        context: settings of Playwright's browser context, such as `color_scheme="dark"`.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        try:
            yield browser.new_context(**context).new_page()
        finally:
            browser.close()
