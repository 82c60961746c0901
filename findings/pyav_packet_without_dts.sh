#!/usr/bin/env bash
# PyAV 18.1.0: a packet without dts is taken for the end of a stream, and the first pictures are lost.
#
# demux() ends each stream with an empty packet, and PyAV's own example of remuxing leaves it out by "if packet.dts is
# None: continue". Matroska stores no decoding times, and libav makes up none for the first packets of H.264 with
# B-frames: they have data, a pts and no dts. The example drops them, the first keyframe among them, so that the copy
# begins with the second one. What marks the end is that a packet is empty: packet.size == 0.
#
# Seen: "packets with data and without dts: 2, the first of them a keyframe: True",
#       "first picture that decodes of the copy: 250 by the example, 0 by size" (Linux x86-64).
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

folder = sys.argv[1]
source = f"{folder}/source.mkv"
with av.open(source, "w") as out:
    stream = out.add_stream("libx264", rate=25, options={"bf": "3", "g": "250", "b_adapt": "0", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(500):
        picture = np.full((48, 64, 3), 200 if number < 250 else 50, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))

with av.open(source) as container:
    lacking = [packet for packet in container.demux(video=0) if packet.size and packet.dts is None]
    is_key = lacking[0].is_keyframe if lacking else False
print(f"packets with data and without dts: {len(lacking)}, the first of them a keyframe: {is_key}")


def first_shown(is_end) -> int:
    """Number of the first picture of a copy: light pictures come from 0 on, dark ones from 250 on."""
    target = f"{folder}/copy.mkv"
    with av.open(source) as reading, av.open(target, "w") as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        last = -(10**9)
        for packet in reading.demux(stream):
            if is_end(packet):
                continue
            if packet.dts is None:
                packet.dts = max(last + 1, packet.pts - 1000)
            last = packet.dts
            packet.stream = copy
            writing.mux(packet)
    with av.open(target) as container:
        frame = next(container.decode(video=0))
        return 0 if frame.to_ndarray(format="rgb24").mean() > 125 else 250


by_example, by_size = first_shown(lambda packet: packet.dts is None), first_shown(lambda packet: packet.size == 0)
print(f"first picture that decodes of the copy: {by_example} by the example, {by_size} by size")
sys.exit(0 if (len(lacking), is_key, by_example, by_size) == (2, True, 250, 0) else 1)
PY
