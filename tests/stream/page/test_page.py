"""The page in a real browser: words, pictures, questions, a server that comes back, hostile text, themes."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli.types import AnswerEvent, EndEvent, WarningEvent
from tests.stream.served import START, Served, free_port, said, served, shown

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\x1b[31mred\x1b[0m"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright.expect.set_options(timeout=20_000)
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def visit(browser, page: Served, path: str = "/", **context):
    """A tab on the page, which must ask no other host and log no error."""
    tab = browser.new_context(**context).new_page()
    tab.set_default_timeout(20_000)
    tab.elsewhere = []  # type: ignore[attr-defined]
    own = f"http://127.0.0.1:{page.port}/"
    tab.on("request", lambda request: request.url.startswith(own) or tab.elsewhere.append(request.url))
    tab.goto(own.rstrip("/") + path)
    return tab


def see(tab, selector: str, text: str) -> None:
    playwright.expect(tab.locator(selector)).to_contain_text(text)


def test_words_and_pictures_appear(browser, page: Served) -> None:
    page.hub.publish(START)
    page.hub.publish(said(0, "kick-off"))
    tab = visit(browser, page)
    see(tab, "#transcript", "kick-off")
    page.hub.watch(shown(1))
    page.hub.publish(said(1, "a fine pass", lag_seconds=0.5))
    see(tab, "#words", "a fine pass")
    see(tab, "#now", "00:00:01")
    see(tab, "#lag", "0.5 s")
    see(tab, "#latency", "p50 0.250")
    see(tab, "#cache", "900")
    playwright.expect(tab.locator("#picture")).to_be_visible()
    page.hub.publish(said(4, "back again", skipped_seconds=2.0))
    see(tab, "#transcript li.note", "2.0 s skipped")
    page.hub.publish(WarningEvent("the source stopped at 5.0 s"))
    see(tab, "#transcript", "the source stopped at 5.0 s")
    page.hub.publish(EndEvent(3, 3.0, 1.0, 3.0, 0.1, 0.1, 0.1, 1, 0))
    see(tab, "#state", "ended")
    assert tab.elsewhere == []


def test_the_bundled_model_is_shown_for_what_it_is(browser, page: Served) -> None:
    page.hub.publish(START)
    tab = visit(browser, page)
    see(tab, "#state", "live")
    playwright.expect(tab.locator("#about")).to_be_hidden()
    told = {"bundled": True, "foreign": False}
    page.hub.publish(replace(START, settings={**START.settings, **told}))
    tab = visit(browser, page)
    see(tab, "#about", "knows arena matches only")
    assert "means nothing" not in tab.locator("#about").inner_text()
    page.hub.publish(replace(START, settings={**START.settings, **told, "foreign": True}))
    tab = visit(browser, page)
    see(tab, "#about.foreign", "What it says of this video means nothing")


def test_the_page_that_readme_shows_has_the_words(browser, tmp_path: Path) -> None:
    """As it stands there, opened from the disk."""
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (shown_there,) = re.findall(r"```html\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "page").mkdir()
    with served(tmp_path / "page", origins=["*"]) as page:
        page.hub.publish(START)
        page.hub.publish(said(0, "kick-off"))
        page.hub.publish(said(1))
        own = tmp_path / "captions.html"
        own.write_text(shown_there.replace(":8000", f":{page.port}"))
        tab = browser.new_page()
        tab.goto(own.as_uri())
        see(tab, "#captions", "kick-off")
        page.hub.publish(said(2, "a fine pass"))
        see(tab, "#captions", "a fine pass")
        tab.close()


def test_a_line_can_be_clicked_and_left(browser, page: Served) -> None:
    page.hub.publish(START)
    tab = visit(browser, page)
    see(tab, "#state", "live")
    for index in range(40):
        page.hub.watch(shown(index, level=index))
        page.hub.publish(said(index, f"word {index}"))
    see(tab, "#words", "word 39")
    assert tab.evaluate("(l => l.scrollTop + l.clientHeight >= l.scrollHeight - 2)(transcript)")
    tab.locator("#transcript button", has_text="word 7").first.click()
    see(tab, "#words", "word 7")
    playwright.expect(tab.locator("#picture")).to_have_attribute("src", re.compile(r"at=7\.000"))
    page.hub.publish(said(40, "word 40"))
    see(tab, "#transcript", "word 40")
    see(tab, "#words", "word 7")
    tab.locator("#live").click()
    see(tab, "#words", "word 40")


def test_a_question_is_answered(browser, page: Served) -> None:
    page.hub.publish(START)
    tab = visit(browser, page)
    see(tab, "#state", "live")
    tab.locator("#question").fill("Who scored?")
    tab.locator("#question").press("Enter")
    see(tab, "#note", "Asked")
    question = page.questions.take(1.0)
    page.hub.publish(AnswerEvent(0, 0.0, 1.0, question, "number nine", 3))
    see(tab, "#transcript li.answer", "Who scored? – number nine")
    tab.locator("#question").fill("At once again")
    tab.locator("#ask button").click()
    see(tab, "#note", "one question a second")


def test_a_model_that_names_questions_has_a_button_for_each(browser, page: Served) -> None:
    questions = ["what is the score", HOSTILE]
    page.hub.publish(replace(START, settings={**START.settings, "suggested_questions": questions}))
    tab = visit(browser, page)
    buttons = tab.locator("#suggested button")
    playwright.expect(buttons).to_have_count(2)
    buttons.first.click()
    see(tab, "#note", "Asked")
    assert page.hub.questions.take(1.0) == "what is the score"
    assert tab.evaluate("window.hacked") is None


def test_no_question_is_suggested_for_a_model_that_names_none(browser, page: Served) -> None:
    page.hub.publish(START)
    tab = visit(browser, page)
    see(tab, "#model", "nobody")
    playwright.expect(tab.locator("#suggested")).to_be_hidden()


def test_text_of_a_model_is_inert(browser, page: Served) -> None:
    page.hub.publish(START)
    tab = visit(browser, page)
    page.hub.publish(said(0, HOSTILE))
    page.hub.publish(AnswerEvent(1, 1.0, 2.0, HOSTILE, HOSTILE, 3))
    page.hub.publish(WarningEvent(HOSTILE))
    see(tab, "#transcript", "<script>window.hacked = 1</script>")
    playwright.expect(tab.locator("#transcript li")).to_have_count(3)
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("#transcript img, #transcript script").count() == 0


def test_it_comes_back_when_the_server_does(browser, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with served(tmp_path / "first", port=port) as page:
        page.hub.publish(START)
        page.hub.publish(said(0, "before"))
        tab = visit(browser, page)
        see(tab, "#transcript", "before")
    see(tab, "#state", "connecting")
    with served(tmp_path / "second", port=port) as page:
        page.hub.publish(START)
        page.hub.publish(said(0, "after"))
        see(tab, "#transcript", "after")
        see(tab, "#state", "live")
        assert "before" not in tab.locator("#transcript").inner_text()


def test_several_look_on_at_once(browser, page: Served) -> None:
    page.hub.publish(START)
    tabs = [visit(browser, page) for _ in range(3)]
    for tab in tabs:
        see(tab, "#state", "live")
    page.hub.publish(said(0, "all hear this"))
    for tab in tabs:
        see(tab, "#words", "all hear this")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(browser, page: Served, scheme: str, width: int) -> None:
    page.hub.publish(START)
    tab = visit(browser, page, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.hub.watch(shown(0))
    page.hub.publish(said(0, "Wordswithoutablank" * 12))
    see(tab, "#words", "Wordswithoutablank")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelector('#question').getBoundingClientRect().right") <= width
    for selector in ("body", "#words", "#now", "#transcript button", "#model", "#state", "nav a"):
        assert contrast(tab, selector) >= 4.5, selector  # WCAG 2.2, 1.4.3


def contrast(tab, selector: str) -> float:
    """Contrast ratio of a text to the ground behind it (WCAG 2.2)."""
    ink, ground = tab.evaluate(
        """selector => {
          const element = document.querySelector(selector);
          let behind = element;
          const ground = element => getComputedStyle(element).backgroundColor;
          while (ground(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          return [getComputedStyle(element).color, ground(behind)];
        }""",
        selector,
    )
    light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_token_opens_it_once_and_for_all(browser, tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0", token="chosen") as page:
        page.hub.publish(START)
        tab = visit(browser, page)
        tab.locator("input[name=token]").fill("chosen")
        tab.locator("button").click()
        see(tab, "#state", "live")
        assert "chosen" not in tab.url
        tab.reload()
        see(tab, "#state", "live")


def test_a_stream_goes_on_while_its_tab_is_closed(browser, page: Served) -> None:
    page.hub.publish(START)
    tab = visit(browser, page)
    see(tab, "#state", "live")
    publishing = threading.Thread(target=lambda: [page.hub.publish(said(index)) for index in range(2000)])
    publishing.start()
    tab.close()
    publishing.join(20)
    assert not publishing.is_alive()
    deadline = time.monotonic() + 10
    while len(page.board.audience):
        assert time.monotonic() < deadline
        page.hub.publish(said(0))
        time.sleep(0.05)


def test_a_server_with_another_token_asks_for_it(browser, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with served(tmp_path / "first", host="0.0.0.0", token="one", port=port) as page:
        page.hub.publish(START)
        tab = visit(browser, page, "/?token=one")
        see(tab, "#state", "live")
    with served(tmp_path / "second", host="0.0.0.0", token="two", port=port) as page:
        page.hub.publish(START)
        tab.locator("input[name=token]").fill("two")
        tab.locator("button").click()
        see(tab, "#state", "live")
