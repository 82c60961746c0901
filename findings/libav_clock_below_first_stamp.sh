#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): a transport stream whose clock falls by more than a minute below its first stamp is 25 hours long.
#
# libav unwraps the 33-bit clock by adding 2^33 / 90000 = 95443.7 s to all that lies more than 60 s below the first stamp
# of the file. It does so wherever the clock is: two recordings joined by cat, the first with a clock that begins at 5000 s,
# the second at 0, are a leap ahead of 90440 s to whoever reads stamps, and container.duration says so. A true wrap happens
# at the end of the period only: a leap that crosses it from further away is a clock that was started again.
#
# Seen: "the second part begins 90440 s behind the first, the container says 90448 s" (Linux x86-64).
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

folder = Path(sys.argv[1])
for name, clock in (("a", 5000), ("b", 0)):
    with av.open(str(folder / f"{name}.ts"), "w", options={"mpegts_copyts": "1"}) as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = clock * 25 + number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
whole = folder / "whole.ts"
whole.write_bytes((folder / "a.ts").read_bytes() + (folder / "b.ts").read_bytes())
with av.open(str(whole)) as container:
    length = round(container.duration / 1e6)
    stamps = [float(each.pts * each.time_base) for each in container.demux(video=0) if each.pts is not None]
leap = round(max(b - a for a, b in pairwise(stamps)))
print(f"the second part begins {leap} s behind the first, the container says {length} s")
sys.exit(0 if (leap, length) == (90440, 90448) else 1)
PY
