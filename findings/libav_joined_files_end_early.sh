#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): of recordings joined by cat, some containers are read to the end and some end in silence.
#
# `cat a a > b` doubles MPEG-TS, MPEG-PS, Matroska and fragmented MP4: libav reads both halves, whose clock starts again.
# Of plain MP4 and FLV it reads the first half and ends as at the end of the file: no error, no flag, and where the
# header has a length (MP4) the one that fits what was read. Nothing tells a caller that half of the file is left, but its
# size: the second half begins at the size of the first, with the first bytes of such a file.
#
# Seen: "mpegts 100 of 100, matroska 100 of 100, mp4 50 of 100, flv 50 of 100" pictures (Linux x86-64).
# Fails if that changes.
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

folder = Path(sys.argv[1])
found = {}
for kind in ("mpegts", "matroska", "mp4", "flv"):
    half = folder / f"half.{kind}"
    with av.open(str(half), "w", format=kind) as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    whole = folder / f"whole.{kind}"
    whole.write_bytes(half.read_bytes() * 2)
    with av.open(str(whole)) as container:
        found[kind] = sum(1 for packet in container.demux(video=0) if packet.size)
print(", ".join(f"{kind} {number} of 100" for kind, number in found.items()))
sys.exit(0 if found == {"mpegts": 100, "matroska": 100, "mp4": 50, "flv": 50} else 1)
PY
