"""A headless Chromium for tests and benchmarks of the site."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}


def program() -> str | None:
    """The Chromium of this machine; None without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(
    browser: Browser, *, theme: str = "light", size: dict[str, int] = DESKTOP
) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what went wrong on it so far: errors of scripts, messages of the console, requests of other than
    files, which are refused."""
    context = browser.new_context(viewport=size, color_scheme=theme)
    page, wrong = context.new_page(), []

    def route(request) -> None:
        if request.request.url.startswith("file:"):
            request.continue_()
        else:
            wrong.append(f"a request: {request.request.url}")
            request.abort()

    page.route("**/*", route)
    page.on("console", lambda message: wrong.append(f"{page.url}: {message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"{page.url}: cannot be loaded: {request.url}"))
    try:
        yield page, wrong
    finally:
        context.close()


def show(page: Page, site: Path, path: str) -> None:
    """Go to a page of the site."""
    page.goto((site / path.partition("#")[0]).as_uri() + path[len(path.partition("#")[0]) :])
