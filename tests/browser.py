"""The system's Chromium, for tests of what a browser runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser without a window; skip the test where Chromium or Playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no program named chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def empty_page() -> Iterator[Any]:
    """Open an empty page of a new browser."""
    with chromium() as browser:
        yield browser.new_page()
