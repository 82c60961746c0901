#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): a server that says "Accept-Ranges: bytes" and sends the whole file is believed, and data is lost.
#
# libav seeks in what such a server sends: the answer to "Range: bytes=N-" is the file from its beginning, with status 200,
# and taken for the bytes from N on. Ogg, whose end is looked at for its length, gives a part of its pictures and no error;
# so does a playlist of parts of files (EXT-X-BYTERANGE), of a server that does not even claim to send parts. The option
# seekable=0 of the http protocol reads such a file as it comes. Only a request tells: the status of a part is 206.
#
# Seen: "ogg: 1 of 100 pictures, seekable=0: 100; playlist of parts: 48 of 100" (Linux x86-64).
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import http.server
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

folder = Path(sys.argv[1])
random = np.random.default_rng(0)


def write(name: str, codec: str, **options: str) -> None:
    with av.open(str(folder / name), "w", options=options) as out:
        stream = out.add_stream(codec, rate=25, options={"g": "25"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(100):
            picture = random.integers(0, 255, (96, 160, 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


class Whole(http.server.BaseHTTPRequestHandler):
    """Says that it sends parts, and sends the whole file."""

    def do_GET(self) -> None:
        body = (folder / self.path.strip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


write("a.ogg", "libvpx")
write("a.m3u8", "libx264", hls_time="1", hls_flags="single_file", hls_list_size="0")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Whole)
threading.Thread(target=server.serve_forever, daemon=True).start()


def count(name: str, **options: str) -> int:
    with av.open(f"http://127.0.0.1:{server.server_port}/{name}", options=options) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


found = count("a.ogg"), count("a.ogg", seekable="0"), count("a.m3u8")
print(f"ogg: {found[0]} of 100 pictures, seekable=0: {found[1]}; playlist of parts: {found[2]} of 100")
sys.exit(0 if found[0] < 100 and found[1] == 100 and found[2] < 100 else 1)
PY
