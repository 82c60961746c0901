"""Wall, overlay and camera in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli.types import EndEvent
from tests.stream.page.pushing import Pushed, until
from tests.stream.page.test_page import CHROMIUM, HOSTILE, contrast, see, visit
from tests.stream.served import START, Served, said, served, shown

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
END = EndEvent(3, 3.0, 1.0, 3.0, 0.1, 0.1, 0.1, 1, 0)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright.expect.set_options(timeout=20_000)
    camera = ["--use-fake-device-for-media-stream=fps=10", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", *camera]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, names=[f"court-{number}" for number in range(1, 5)]) as running:
        for hub in running.board.hubs.values():
            hub.publish(START)
        yield running


def test_who_comes_late_sees_the_newest_picture_and_what_the_model_is(browser, several: Served) -> None:
    """Older pictures that are asked for first may have gone."""
    first, second = list(several.board.hubs.values())[:2]
    first.publish(replace(START, settings={**START.settings, "bundled": True, "foreign": True}))
    for index in range(40):
        first.watch(shown(index))
        first.publish(said(index, f"word {index}"))
    second.publish(said(0, "a word"))
    tab = visit(browser, several)
    newest, other = (tab.locator("article", has_text=name) for name in ("court-1", "court-2"))
    playwright.expect(newest.locator("img")).to_have_attribute("src", re.compile(r"at=39\.000"))
    playwright.expect(newest.locator(".about")).to_contain_text("knows arena matches only")
    playwright.expect(other.locator(".about")).to_be_empty()


def test_tiles_keep_their_order_and_tell_why_one_has_no_words(browser, tmp_path: Path) -> None:
    """Names are opened in any order; a wall that is loaded again, or gains a channel, is the same wall."""
    names = [f"court-{number}" for number in (11, 2, 10, 1)]
    with served(tmp_path, names=names) as running:
        hubs = running.board.hubs
        hubs["court-10"].lack_source("rtsp://camera could not be opened", is_over=True)
        tab = visit(browser, running)
        for number in (2, 1, 11):
            hubs[f"court-{number}"].publish(START)
            hubs[f"court-{number}"].publish(said(0, "words"))
        sorted_names = ["court-1", "court-2", "court-10", "court-11"]
        playwright.expect(tab.locator("article h2")).to_have_text(sorted_names)
        tab.reload()
        playwright.expect(tab.locator("article h2")).to_have_text(sorted_names)
        running.board.add("court-9").publish(START)
        playwright.expect(tab.locator("article h2")).to_have_text(
            [*sorted_names[:2], "court-9", *sorted_names[2:]]
        )
        playwright.expect(tab.locator("article.failed .about")).to_have_text(
            "rtsp://camera could not be opened"
        )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_wall_of_channels(browser, several: Served, scheme: str, width: int) -> None:
    tab = visit(browser, several, viewport={"width": width, "height": 844}, color_scheme=scheme)
    see(tab, "#source", "4 channels")
    see(tab, "#state", "live")
    for number, hub in enumerate(several.board.hubs.values(), 1):
        hub.watch(shown(0))
        hub.publish(said(0, f"words of {number}", lag_seconds=number - 0.5))
    first, last = tab.locator("article").first, tab.locator("article").last
    playwright.expect(first.locator("p")).to_have_text("words of 1")
    playwright.expect(first.locator(".lag")).to_have_text("lag 0.5 s")
    playwright.expect(last.locator(".late")).to_have_text("lag 3.5 s")
    playwright.expect(first.locator("img")).to_have_attribute("src", re.compile("channel=court-1"))
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("article p", "article .lag", "#source", ".late"):
        assert contrast(tab, selector) >= 4.5, selector
    hubs = several.board.hubs
    hubs["court-2"].publish(said(1, HOSTILE))
    hubs["court-3"].publish(END)
    see(tab, "article.ended", "ended")
    several.board.remove("court-4")
    playwright.expect(tab.locator("article")).to_have_count(3)
    assert tab.evaluate("window.hacked") is None
    first.locator("a").click()
    see(tab, "#transcript", "words of 1")
    see(tab, "#channel", "court-1")
    assert tab.locator("nav a").first.get_attribute("href") == "/words.vtt?channel=court-1"
    assert tab.elsewhere == []


def test_the_overlay_is_words_on_nothing(browser, several: Served) -> None:
    tab = visit(browser, several, "/overlay?channel=court-2&size=40&color=ffd400&lines=1")
    until(lambda: len(several.board.audience) > 0)
    several.board.hubs["court-1"].publish(said(0, "of another"))
    several.board.hubs["court-2"].publish(said(0, f"what is said {HOSTILE}"))
    see(tab, "#words", "what is said")
    assert tab.evaluate("window.hacked") is None
    style = tab.evaluate(
        "[words, document.body].map((each) => getComputedStyle(each))"
        ".flatMap((style) => [style.color, style.fontSize, style.backgroundColor])"
    )
    assert style[:3] == ["rgb(255, 212, 0)", "40px", "rgba(0, 0, 0, 0)"]
    assert style[5] == "rgba(0, 0, 0, 0)"
    assert tab.evaluate("words.getBoundingClientRect().height") <= 51  # one line


def test_the_camera_of_a_browser_is_spoken_about(browser, tmp_path: Path) -> None:
    with ExitStack() as stack:
        page = Pushed(tmp_path, stack)
        rounds, page.fleet.rounds = page.fleet.rounds, None  # its model is being loaded
        tab = visit(browser, page, "/", permissions=["camera"])
        tab.locator("#camera").click()
        tab.locator("#start").click()
        see(tab, "#note", "the model is still being loaded")
        see(tab, "#state", "waiting")
        page.fleet.rounds = rounds
        see(tab, "#state", "live")
        until(lambda: any(hub.figures.last_step_utc for hub in page.board.hubs.values()))
        see(tab, "#late", "s behind")
        (hub,) = page.board.hubs.values()
        until(lambda: hub.pictures.at(None))
        time.sleep(1.0)
        tab.locator("#stop").click()
        see(tab, "#state", "off")
        assert hub.has_ended
        assert tab.locator("#note").inner_text() == ""
        assert tab.elsewhere == []
