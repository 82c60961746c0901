"""A browser is the judge of WebVTT: Chromium loads a produced file in a <track> and counts the cues."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from svlm_cli.cue_text import clean_text
from svlm_cli.stream.outputs.cues import CueStyle
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import StepEvent

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --dump-dom --virtual-time-budget=5000 "
    "--disable-background-networking --disable-quic --no-first-run --disable-sync --disable-component-update"
)
PAGE = """<!doctype html><video><track default kind="captions" src="x.vtt"></video>
<pre id="cues">waiting</pre>
<script>
const track = document.querySelector("track"), show = document.querySelector("#cues");
track.onerror = () => { show.textContent = "refused"; };
track.onload = () => {
  const cues = Array.from(track.track.cues);
  show.textContent = encodeURIComponent(
    JSON.stringify(cues.map(cue => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])));
};
track.track.mode = "hidden";
</script>"""
TEXTS = [
    "Kick-off!",
    "",
    "5 < 6 & 7 > 2 --> <b>go</b>",
    "&lt; 100% [red]é💥[/red]",
    "two\n\nlines",
    "NOTE x",
    "1",
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/page.html"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_reads_every_cue(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    (folder / "page.html").write_text(PAGE)
    steps = [StepEvent(i, 359_998.5 + i, 359_999.5 + i, text, 2, 1, 1, 1) for i, text in enumerate(TEXTS)]
    with Writers([folder / "x.vtt"], cues=CueStyle.SECOND) as writers:
        for step in steps:
            writers.write(step)
    done = subprocess.run(
        [CHROMIUM, *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="cues">([^<]*)</pre>', done.stdout)
    assert found is not None, done.stdout
    cues = json.loads(unquote(found[1]))
    assert cues == [
        [step.start_seconds, step.end_seconds, clean_text(step.text)]
        for step in steps
        if clean_text(step.text)
    ]
