#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): of fragmented MP4 a stream's duration is where it ends on its clock, not how long it lasts.
#
# Of an MP4 with an index the duration of a stream is its length, wherever its clock begins. Of one made of fragments that
# were kept from the middle of a broadcast (CMAF, the clock two hours in) it is the time at which the last one ends. A tool
# that compares the duration with what it could read takes a whole file for one that lacks two hours. The container's
# duration says the same.
#
# Seen: "index: start 7200, duration 3; fragments: start 7200, duration 7203" (Linux x86-64). Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

found = {}
for name, flags in (("index", "faststart"), ("fragments", "cmaf+frag_keyframe+frag_discont")):
    path = Path(sys.argv[1]) / f"{name}.mp4"
    with av.open(str(path), "w", options={"movflags": flags}) as out:
        stream = out.add_stream("mpeg4", rate=25, options={"g": "25"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = 7200 * 25 + number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found[name] = (float(stream.start_time * stream.time_base), float(stream.duration * stream.time_base))
print("; ".join(f"{name}: start {start:g}, duration {length:g}" for name, (start, length) in found.items()))
sys.exit(0 if found == {"index": (7200.0, 3.0), "fragments": (7200.0, 7203.0)} else 1)
PY
