"""A headless Chromium that a test can click in, through Playwright's synchronous interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.browser import ARGUMENTS, executable


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A browser, with these arguments besides; ended at the end. The test is marked `requires`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, *more]
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
