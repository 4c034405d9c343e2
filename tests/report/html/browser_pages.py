"""The fixtures of the tests of a report in a real browser: Chromium itself, and the report of a real run.

A plugin that the test modules name. The browser lives as long as a module's tests: Playwright keeps an event loop in
the thread while it runs, beside which no test could start one of its own.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from made_pages import report_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a Chromium for the tests of a module."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="the browser is driven by playwright, which is not installed"
    )
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install --no-install-recommends chromium")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    """Return the page in which the tests of a module open reports; a new one takes a process of its own each time."""
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(15_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context.new_page()
    context.close()


@pytest.fixture
def visit(browser: Browser, window: Page) -> Iterator[Visit]:
    """Open pages; at the end, none of them may have asked for anything else or have written an error.

    They are all opened in one window, unless they are to have no script, or `init` run before their own. `bare` pages
    may write errors, and are not waited for.
    """
    allowed: set[str] = set()
    requests: list[str] = []
    complaints: list[str] = []
    heard = {
        "request": lambda asked: requests.append(asked.url),
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
    }
    others: list[BrowserContext] = []

    def open_page(
        address: str | Path,
        *,
        width: int = 1440,
        theme: Literal["light", "dark"] = "light",
        script: bool = True,
        bare: bool = False,
        init: str | None = None,
    ) -> Page:
        opened = window
        if init is not None or not script:
            context = browser.new_context(java_script_enabled=script)
            others.append(context)
            opened = context.new_page()
            if init is not None:
                opened.add_init_script(init)
        opened.set_viewport_size({"width": width, "height": 900})
        opened.emulate_media(color_scheme=theme)
        url = address.as_uri() if isinstance(address, Path) else address
        allowed.add(url.split("#", maxsplit=1)[0])
        opened.goto("about:blank")  # otherwise a change behind the # alone would not load the page
        if not bare:
            for event, listener in heard.items():
                opened.on(event, listener)  # type: ignore[call-overload]
        opened.goto(url)
        if not bare:
            opened.wait_for_selector("html[data-ready]", state="attached")
        return opened

    yield open_page
    for event, listener in heard.items():
        with suppress(KeyError):  # no page was listened to
            window.remove_listener(event, listener)
    window.evaluate("try { localStorage.clear(); sessionStorage.clear(); } catch {}")
    for context in others:
        context.close()
    assert [url for url in requests if url.split("#", maxsplit=1)[0] not in allowed] == []
    assert complaints == []


@pytest.fixture(scope="module")
def sample_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of the bundled sample, as the bundled baseline answers it."""
    return report_of_run(tmp_path_factory.mktemp("sample"), "baseline", "--fc-limit=60")
