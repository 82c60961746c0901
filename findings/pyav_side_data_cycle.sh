#!/usr/bin/env bash
# PyAV 18.1.0: a frame whose side_data was looked at is not freed when it is dropped.
#
# VideoFrame.side_data makes a container that holds the frame, and keeps it in the frame: a reference cycle. Frames
# then wait for Python's cyclic collector, which counts objects and not bytes, and with them wait the decoder's
# pictures: a program that reads the display matrix of every frame of a live source grew by 0.7 MiB for each time
# the source came back (numpy 2.4.6, Linux x86-64). A container that the caller makes and drops has no cycle.
#
# Seen: "side_data looked at: 25 of 25 frames wait for the collector", "not looked at: 0 of 25".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/a.mp4" <<'PY'
import gc
import sys

import av
import numpy as np

path = sys.argv[1]
with av.open(path, "w") as out:
    stream = out.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(25):
        picture = np.full((48, 64, 3), number * 10, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    out.mux(stream.encode(None))


def left(look: bool) -> int:
    """Frames that are still there, though nobody holds them."""
    gc.collect()
    gc.disable()
    with av.open(path) as container:
        for frame in container.decode(video=0):
            if look:
                frame.side_data.get("DISPLAYMATRIX")
        del frame
    found = sum(type(each).__name__ == "SideDataContainer" for each in gc.get_objects())
    gc.enable()
    return found


looked, not_looked = left(True), left(False)
print(f"side_data looked at: {looked} of 25 frames wait for the collector")
print(f"not looked at: {not_looked} of 25")
sys.exit(0 if (looked, not_looked) == (25, 0) else 1)
PY
