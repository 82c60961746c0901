"""Captions beside a live broadcast in hls.js: each words shown within a second of their picture.

The pictures of the broadcast count the seconds, the words say which second they were spoken in, and the
player's page reads both. Needs ffmpeg, Chromium and hls.js (``npm install --no-save hls.js`` in the folder of
the repository).
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from svlm_cli.media.address import LiveOptions
from svlm_cli.settings import Pace, StreamSettings
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.stream.pacing import PlayClock
from svlm_cli.types import StartEvent, StepEvent
from svlm_cli.utc import utc_text
from tests.media import live_servers as servers
from tests.media.live.test_live import opened

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HLS_JS = Path(__file__).parents[3] / "node_modules/hls.js/dist/hls.min.js"
WATCHED_SECONDS = 12

MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="svlm",NAME="svlm",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="words.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=320x240,SUBTITLES="svlm"
live.m3u8
"""
PAGE = """<!doctype html><script src="hls.min.js"></script>
<video id="v" muted autoplay width="320" height="240"></video><canvas id="c" width="32" height="24"></canvas>
<script>
const video = document.getElementById("v"), canvas = document.getElementById("c").getContext("2d");
window.seen = []; window.trouble = [];
const hls = new Hls({enableWorker: false});
hls.on(Hls.Events.ERROR, (_, data) => window.trouble.push(data.details));
hls.loadSource("master.m3u8"); hls.attachMedia(video);
setInterval(() => {
  const track = [...video.textTracks].find(each => each.mode !== "disabled");
  if (!track || !track.activeCues || video.currentTime === 0) return;
  canvas.drawImage(video, 0, 0, 32, 24);
  const light = canvas.getImageData(8, 8, 1, 1).data[0];
  for (const cue of track.activeCues) window.seen.push([light, cue.text, cue.startTime, video.currentTime]);
}, 100);
</script>"""


def caption(address: str, path: Path, stop: threading.Event) -> None:
    """A stream whose words say which second their pictures count."""
    settings = StreamSettings(pace=Pace.REALTIME)
    clock = PlayClock(settings)
    with opened(address, LiveOptions()) as source, Writers([path]) as writers:
        writers.write(StartEvent("1", address, "none", "cpu", "float32", asdict(settings)))
        for clip in source.clips(2, 1.0, guide=clock):
            if stop.is_set():
                return
            if clip.index == 0:
                clock.hold(clip.end_seconds, float("inf"))
            stop.wait(max(0.0, -clock.behind(clip.end_seconds)))
            told = clip.source_time
            assert told is not None
            times = {"pts_seconds": told.pts_seconds, "clock": told.kind}
            times["start_utc"] = "" if told.utc_seconds is None else utc_text(told.utc_seconds)
            light = float(clip.frames[0, :, :100].mean())
            words = f"{light:.0f}." if clip.index % 2 == 0 else ""
            writers.write(
                StepEvent(clip.index, clip.start_seconds, clip.end_seconds, words, 2, 1, 1, 1, **times)
            )


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.skipif(not HLS_JS.exists(), reason="needs hls.js: npm install --no-save hls.js")
def test_words_stand_beside_their_pictures_in_hls_js(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    file = servers.broadcast_file(tmp_path / "x.mp4", is_fine=True)
    folder = tmp_path / "live"
    folder.mkdir()
    (folder / "master.m3u8").write_text(MASTER)
    (folder / "page.html").write_text(PAGE)
    shutil.copy(HLS_JS, folder)
    options = ("-hls_time", "2", "-hls_list_size", "8", "-hls_flags", "delete_segments+program_date_time")
    sender = servers.sender(file, "-f", "hls", *options, str(folder / "live.m3u8"))
    web = servers.file_server(folder)
    address, stop = f"http://127.0.0.1:{web.port}", threading.Event()
    worker = threading.Thread(target=caption, args=(f"{address}/live.m3u8", folder / "words.m3u8", stop))
    try:
        servers.wait_for(folder / "live.m3u8")
        worker.start()
        servers.wait_for(folder / "words.m3u8")
        with sync_playwright() as player:
            browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"{address}/page.html")
            page.wait_for_timeout(WATCHED_SECONDS * 1000)
            seen, trouble = page.evaluate("[window.seen, window.trouble]")
            browser.close()
    finally:
        stop.set()
        worker.join()
        sender.stop()
        web.stop()
    first_seen = {text: light for light, text, *_ in reversed(seen)}
    assert len(first_seen) >= 4, trouble
    a_second = servers.LEVELS_A_SECOND * 255 / 219
    behind = [(light - float(text.rstrip("."))) / a_second for text, light in first_seen.items()]
    told = [round(each, 2) for each in behind[:-1]]  # the last was there when the page began to look
    print("seconds from the first picture of a step to its words:", told)
    assert min(told) >= -0.3, (told, first_seen)
    assert max(told) <= 1.0, (told, first_seen)


def test_the_segments_are_read_by_ffmpeg(tmp_path: Path) -> None:
    """ffprobe reads every cue of a playlist of all."""
    with Writers([tmp_path / "x.m3u8"]) as writers:
        for number in range(6):
            step = StepEvent(number, float(2 * number), 2.0 * number + 1, f"Words {number}.", 2, 1, 1, 1)
            writers.write(step)
    paths = sorted((tmp_path / "x").iterdir(), key=lambda path: int(path.stem))
    found = []
    for path in paths:
        command = ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", str(path)]
        if shutil.which(command[0]) is None:
            pytest.skip("ffprobe is not installed")
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert told.stderr == ""
        found += [float(line.strip(",")) for line in told.stdout.split()]
    assert found == [2.0 * number for number in range(6)]
