#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): reformat(dst_color_trc=..., dst_color_primaries=...) converts pixels, and a matrix
# tag that libswscale cannot read ends the conversion with OSError 95.
#
# The documentation of VideoReformatter.reformat says of dst_color_trc that it "sets frame metadata only; it does not
# perform a pixel-level transfer function conversion". It does: libswscale undoes the curve and maps the tones, so that
# diffuse white of HLG (75 %) becomes 254 instead of 189, after a first call of one to three seconds. SDR moves as well:
# give it for transfer 16 and 18 alone. H.264 tagged YCgCo, BT.2020 with constant luminance or ICtCp (8, 10, 14, 15), which
# the ffmpeg program shows, needs src_colorspace (numpy 2.4.6, Linux x86-64).
#
# Seen: "HLG white: 189 without, 254 with", "matrix 10: OSError 95 without src_colorspace, read with".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys

import av
import numpy as np
from av.video.reformatter import VideoReformatter


def white(matrix: int, transfer: int, **how: int) -> int:
    frame = av.VideoFrame(64, 64, "yuv420p10le")
    for plane, value in zip(frame.planes, (64 + round(0.75 * 876), 512, 512), strict=True):
        plane.update(np.full((plane.height, plane.line_size // 2), value, "<u2").tobytes())
    frame.colorspace, frame.color_trc, frame.color_primaries, frame.color_range = matrix, transfer, 9, 1
    image = VideoReformatter().reformat(frame, format="rgb24", width=64, height=64, **how).to_ndarray()
    return int(image[32, 32, 0])


plain, mapped = white(9, 18), white(9, 18, dst_color_trc=1, dst_color_primaries=1)
print(f"HLG white: {plain} without, {mapped} with")
try:
    white(10, 1)
    refused = "read"
except OSError as error:
    refused = f"OSError {error.errno}"
white(10, 1, src_colorspace=9)
print(f"matrix 10: {refused} without src_colorspace, read with")
sys.exit(0 if mapped - plain > 50 and refused == "OSError 95" else 1)
PY
