#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): of fragmented MP4 files joined by cat libav hides the first fragment of every later part.
#
# Recordings of HLS with advertisements are such files: an index (moov) and fragments, then another index and fragments
# whose clock starts again. All packets are read, but those of the first fragment behind the second index carry the flag
# for what an edit list hides, though no part has an edit list that hides anything. A decoder drops their pictures: no
# error, and ffmpeg does the same.
#
# Seen: "packets, hidden, pictures of 1 part (75, 0, 75), 2 (150, 25, 125), 3 (225, 50, 175)" (Linux x86-64).
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" 2>"$folder/talk" <<'PY'
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

part = Path(sys.argv[1]) / "part.mp4"
with av.open(str(part), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as out:
    stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(75):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * number, np.uint8), "rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
found = []
for times in (1, 2, 3):
    joined = part.with_name("joined.mp4")
    joined.write_bytes(part.read_bytes() * times)
    with av.open(str(joined)) as container:
        packets = [packet.is_discard for packet in container.demux(video=0) if packet.size]
    with av.open(str(joined)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    found.append((len(packets), sum(packets), pictures))
print("packets, hidden, pictures of 1 part {}, 2 {}, 3 {}".format(*found))
sys.exit(0 if found == [(75, 0, 75), (150, 25, 125), (225, 50, 175)] else 1)
PY
