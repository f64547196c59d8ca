"""A real browser, where there is one, and pages to open in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sv2r.report.write import write_report
from sv2r.types import Record
from tests.toys.outputs import make_output, scores

NAMES = ("a/0.png", "a/1.png", "b/0.png", "b/1.png", "c.png")


def mixed(record: Record) -> Record:
    """Return the record with a status, scores and repairs that differ from picture to picture."""
    first = NAMES.index(record.sample) * 10 + 1
    gone = {"output": None, "output_sha256": None}
    worst = {"a/0.png": 0.31, "b/0.png": 0.72, "c.png": 0.95}
    if record.sample == "a/1.png":
        return replace(record, status="failed", error="a/1.png: truncated after 12 bytes", **gone)
    if record.sample == "b/1.png":
        low = scores({first: 0.12, first + 1: 0.9}, shift=2.4)
        error = "b/1.png: survival: 1 instance has lost the boundary: 31 (0.12)"
        return replace(record, status="rejected", error=error, scores=low, **gone)
    found = scores({first: worst[record.sample], first + 1: None}, shift=0.2)
    repairs = ("restore: instance 1",) if record.sample == "a/0.png" else ()
    return replace(record, scores=found, repairs=repairs)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output of five pictures: three done, one rejected, one failed."""
    return make_output(tmp_path, NAMES, mixed)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, without a network."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A page in the browser. complaints: what it said on the console; requests: what it loaded."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return the shown cards' titles in their order."""
        return [card.get_attribute("title") for card in self.page.locator(".card").all()]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Open an HTML file, which may not complain of anything or load from a network."""
    opened: list[Opened] = []

    def open_(path: Path, fragment: str = "", width: int = 1280, **more: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, **more)
        one = Opened(context.new_page())
        opened.append(one)
        one.page.set_default_timeout(10_000)
        one.page.on("console", lambda message: one.complaints.append(message.text))
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.page.on("dialog", lambda dialog: one.complaints.append(f"alert: {dialog.message}"))
        one.page.on("request", lambda request: one.requests.append(request.url))
        one.page.goto(path.absolute().as_uri() + fragment)
        return one

    yield open_
    for one in opened:
        one.page.context.close()
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def report(out: Path) -> Path:
    return write_report(out)
