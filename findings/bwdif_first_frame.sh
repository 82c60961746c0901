#!/usr/bin/env bash
# FFmpeg 8.1.2 (in PyAV 18.1.0): bwdif computes the first frame that it deinterlaces from that frame's lines alone,
# however many frames have gone before it.
#
# Where deint=interlaced (or enable=...) lets frames pass at first, the first one that is deinterlaced still counts as the
# first of the stream: its neighbours, which the filter holds, are not used. A program that deinterlaces single frames by
# pushing each with its neighbours gets another picture from a new graph than from one that has computed a frame
# before (numpy 2.4.6, Linux x86-64).
#
# Seen: "in sequence and from a new graph: not equal; from a used graph: equal". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys

import av
import numpy as np
from av.filter import Graph

EVERY, MIDDLE = "mode=send_frame:deint=all", "mode=send_frame:deint=all:enable='eq(mod(n,3),2)'"


def frames() -> list[av.VideoFrame]:
    dice = np.random.default_rng(1)
    made = []
    for number in range(5):
        frame = av.VideoFrame.from_ndarray(dice.integers(16, 235, (64, 64), np.uint8), format="gray")
        frame.pts = number
        made.append(frame)
    return made


def graph(options: str) -> Graph:
    made = Graph()
    source = made.add("buffer", "video_size=64x64:pix_fmt=gray:time_base=1/25")
    filtered, sink = made.add("bwdif", options), made.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    made.configure()
    return made


def run(through: Graph, pushed: list[av.VideoFrame]) -> list[np.ndarray]:
    pulled = []
    for frame in pushed:
        through.push(frame)
        try:
            while True:
                pulled.append(through.pull().to_ndarray())
        except (av.error.BlockingIOError, av.error.EOFError):
            pass
    return pulled


shown = frames()
whole = run(graph(EVERY), shown)[2]
single = graph(MIDDLE)
new, used = run(single, shown[1:4])[-1], run(single, shown[1:4])[-1]
is_new, is_used = np.array_equal(new, whole), np.array_equal(used, whole)
words = {True: "equal", False: "not equal"}
print(f"in sequence and from a new graph: {words[is_new]}; from a used graph: {words[is_used]}")
sys.exit(0 if is_used and not is_new else 1)
PY
