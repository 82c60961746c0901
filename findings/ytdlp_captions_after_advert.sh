#!/usr/bin/env bash
# yt-dlp 2026.10.26: captions of HLS are 26.5 hours late from the first advertisement on whose clock begins lower.
#
# Each WebVTT segment of HLS says by X-TIMESTAMP-MAP where its times are on the clock of the pictures. That clock may
# change where EXT-X-DISCONTINUITY stands (RFC 8216, 4.3.2.3): an advertisement that is put in has one of its own. yt-dlp
# looks at the clock alone: a lower one counts as the 33-bit clock that has begun again (3.5), and 2^33 / 90000 =
# 95443.7 s are added. If the advertisement has captions itself they stay added to all that follows, also where the film
# goes on with the map that it had before. yt-dlp says nothing; where captions are cut off at the end of the video, none
# are left behind the first advertisement.
#
# Below, three segments of 10 s: film, advertisement, film; each caption is shown 2 or 3 s into its segment.
# Seen: "film at 2.0 s, advert at 95436.7 s, film again at 95455.7 s of a video of 30 s". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q yt-dlp==2026.10.26
"$folder/venv/bin/python" - "$folder" <<'PY'
import re
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yt_dlp

folder = Path(sys.argv[1])
served = folder / "served"
served.mkdir()
(served / "index.m3u8").write_text(
    "#EXTM3U\n"
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="captions.m3u8"\n'
    '#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS="avc1.42c00a",RESOLUTION=64x48,SUBTITLES="s"\nvideo.m3u8\n'
)
playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-PLAYLIST-TYPE:VOD\n"
segments = "\n#EXT-X-DISCONTINUITY\n".join(f"#EXTINF:10,\n{number}.KIND" for number in range(3))
for kind, name in (("vtt", "captions"), ("ts", "video")):
    (served / f"{name}.m3u8").write_text(f"{playlist}{segments.replace('KIND', kind)}\n#EXT-X-ENDLIST\n")
# The pictures of the film begin at 10 s of its clock, those of the advertisement at 0 s.
for number, (stamp, second, text) in enumerate([(900000, 2, "film"), (0, 3, "advert"), (900000, 12, "film again")]):
    mapped = f"X-TIMESTAMP-MAP=MPEGTS:{stamp},LOCAL:00:00:00.000"
    cue = f"00:00:{second:02}.000 --> 00:00:{second + 1:02}.000\n{text}\n"
    (served / f"{number}.vtt").write_text(f"WEBVTT\n{mapped}\n\n{cue}\n")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
threading.Thread(target=server.serve_forever, daemon=True).start()
wanted = {
    "writesubtitles": True,
    "subtitleslangs": ["en"],
    "skip_download": True,
    "outtmpl": str(folder / "got"),
    "proxy": "",
    "quiet": True,
    "noprogress": True,
}
with yt_dlp.YoutubeDL(wanted) as session:
    session.download([f"http://127.0.0.1:{server.server_port}/index.m3u8"])
server.shutdown()
cues = re.findall(r"([0-9]+):([0-9]+):([0-9.]+) --> .*\n(.+)", (folder / "got.en.vtt").read_text())
found = [(text, round(int(hours) * 3600 + int(minutes) * 60 + float(rest), 1)) for hours, minutes, rest, text in cues]
print(", ".join(f"{text} at {second} s" for text, second in found) + " of a video of 30 s")
sys.exit(0 if found == [("film", 2.0), ("advert", 95436.7), ("film again", 95455.7)] else 1)
PY
