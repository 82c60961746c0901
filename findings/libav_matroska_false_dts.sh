#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): decoding times of slow Matroska run back by seconds, and some are those of a later picture.
#
# Matroska stores when a picture is presented and not when it is decoded. libav makes decoding times up while it reads: where
# sound beside the pictures makes them begin 21 ms after 0 (the first frame of AAC is filling), the first picture that is
# decoded ahead of others gets its own presentation time as its decoding time, the next ones fall back behind it. At 25
# pictures a second that is 0.1 s and nobody sees it; slides at one in ten seconds run back by more than a minute, as if another
# recording had been joined to them. av_read_frame's own contract is that decoding times grow.
#
# Seen: "decoding times of 30 pictures at 0.1 a second: fall by 80.0 s at most; written by the encoder: never"
#       (Linux x86-64).
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

import av
import numpy as np

SECONDS, RATE = 10, 16_000
path = f"{sys.argv[1]}/slides.mkv"
written = []
with av.open(path, "w") as out:
    video = out.add_stream("libx264", rate=Fraction(1, SECONDS), options={"bf": "8", "b_strategy": "0"})
    video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
    sound = out.add_stream("aac", rate=RATE, layout="mono")

    def put(packets):
        for packet in packets:
            if packet.stream is video:
                written.append(float(packet.dts * packet.time_base))
            out.mux(packet)

    for number in range(30):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * number, np.uint8), format="rgb24")
        picture.pts, picture.time_base = number, Fraction(SECONDS)
        put(video.encode(picture))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, SECONDS * RATE), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.time_base, silence.pts = RATE, Fraction(1, RATE), number * SECONDS * RATE
        put(sound.encode(silence))
    put(video.encode(None))
    put(sound.encode(None))
with av.open(path) as container:
    packets = [packet for packet in container.demux(video=0) if packet.size and packet.dts is not None]
    read = [float(packet.dts * packet.time_base) for packet in packets]


def fall(times):
    return max(0.0, *(a - b for a, b in pairwise(times)))


never = "never" if fall(written) == 0 else f"by {fall(written):.1f} s"
print(f"decoding times of 30 pictures at 0.1 a second: fall by {fall(read):.1f} s at most; written by the encoder: {never}")
sys.exit(0 if fall(read) > 1 and fall(written) == 0 else 1)
PY
