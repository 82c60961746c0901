#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): of Matroska files joined by cat libav reads two, and ends in silence before the third.
#
# Two halves joined so are read whole, the clock of the second beginning again, so one would think that any number is.
# From the third on nothing comes: no error, no flag, and the length in the header is that of the first. A second part with
# a track more than the first ends after one packet. What there is shows in the lengths that the segments state: behind
# the second one another EBML header begins.
#
# Seen: "2 parts 50 of 50, 3 parts 50 of 75, 4 parts 50 of 100" pictures (Linux x86-64).
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import av
import numpy as np

part = Path(sys.argv[1]) / "part.mkv"
with av.open(str(part), "w") as out:
    stream = out.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(25):
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), "rgb24")))
    out.mux(stream.encode(None))
found = {}
for times in (2, 3, 4):
    joined = part.with_name("joined.mkv")
    joined.write_bytes(part.read_bytes() * times)
    with av.open(str(joined)) as container:
        found[times] = sum(1 for packet in container.demux(video=0) if packet.size)
print(", ".join(f"{times} parts {number} of {25 * times}" for times, number in found.items()))
sys.exit(0 if found == {2: 50, 3: 50, 4: 50} else 1)
PY
