"""Draw the picture of the page: README's second live example, 50 seconds after it has begun.

Run it again after the page or the bundled model changes: ``python docs/draw_page.py`` (it needs Chromium and
the ``dev`` extra). What the page says is compared with what was true; a picture that is not true is not kept.
"""

from __future__ import annotations

import itertools
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import truth

SOURCE = "arena:soccer?seed=7&minutes=inf"
COMMAND = f"stream '{SOURCE}' --fps 8 --serve 127.0.0.1:8000 --quiet"
PICTURE = Path(__file__).parent / "images" / "page.png"
SECONDS = 50
DASH = "–"  # what the page shows for a time before the first step
SIZE = {"width": 1280, "height": 800}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Stream, look at the page with a browser, check what it says, and write the picture."""
    running = subprocess.Popen([sys.executable, "-m", "svlm_cli", *shlex.split(COMMAND)])
    try:
        with sync_playwright() as driver:
            found = next(path for name in BROWSERS if (path := shutil.which(name)))
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page(viewport=SIZE)
            _open(tab)
            while not clock(SECONDS) <= tab.locator("#now").inner_text() < DASH:
                tab.wait_for_timeout(100)
            picture = tab.screenshot()
            said = tab.locator("#transcript li").all_inner_texts()
            browser.close()
    finally:
        running.terminate()
        running.wait(60)
    wrong = [line for line in said if line.split() not in _true_lines()]
    if wrong or not said:
        print(f"not kept, as it is not true: {wrong or 'no line'}", file=sys.stderr)
        return 1
    PICTURE.write_bytes(picture)
    return 0


def clock(second: int) -> str:
    """As the page writes a time."""
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _open(tab: Page) -> None:
    for _ in range(120):
        try:
            tab.goto("http://127.0.0.1:8000")
        except Exception:  # the model is still being opened
            tab.wait_for_timeout(500)
        else:
            tab.set_default_timeout(1000 * 4 * SECONDS)
            return
    raise SystemExit("no page after a minute")


def _true_lines() -> list[list[str]]:
    records = itertools.islice(truth(parse_address(SOURCE)), SECONDS + 10)
    return [[clock(record.second), *record.line.split()] for record in records if record.line]


if __name__ == "__main__":
    sys.exit(main())
