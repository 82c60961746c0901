#!/usr/bin/env bash
# transformers 5.23.0: load_video takes every video for one of even frames: of a file whose frames are not, it samples other
# times than asked for and states times that are wrong by seconds, though the file has the right ones.
#
# Phones and recorders of screens write such files. load_video's fps is documented as frames to sample a second, and
# VideoMetadata.timestamps as the times of the sampled frames in seconds; both come from the index of a frame and the mean
# rate, and the pts that PyAV decodes beside each picture is left. Qwen3-VL's processor writes index / fps into the prompt, so the
# model is told the second of a picture that was shown another time, and an event is found at a wrong time, with no word.
# Here 90 frames lie 0.04 s apart and ten behind them a second: at one frame a second eleven of twelve are from the first 3.4
# seconds. Who decodes himself gives the processor frames on an even grid, by their pts (Linux x86-64).
#
# Seen: "12 frames at 1 a second, of the first 3.4 of 12.6 seconds: 11", "stated 10.5 s, shown at 3.3 s".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.23.0 numpy==2.4.6 av==18.1.0 pillow==13.0.0
"$folder/venv/bin/python" - "$folder/uneven.mp4" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np
from transformers.video_utils import load_video

path = sys.argv[1]
with av.open(path, "w") as container:
    stream = container.add_stream("mpeg4", rate=100)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.time_base = Fraction(1, 100)
    for index in range(100):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 2 * index, np.uint8), format="rgb24")
        picture.time_base = Fraction(1, 100)
        picture.pts = 4 * index if index < 90 else 360 + 100 * (index - 90)
        container.mux(stream.encode(picture))
    container.mux(stream.encode())

with av.open(path) as container:
    times = [frame.time for frame in container.decode(video=0)]
frames, metadata = load_video(path, fps=1)
shown = [times[index] for index in metadata.frames_indices]
early = sum(time < 3.4 for time in shown)
print(f"{len(frames)} frames at 1 a second, of the first 3.4 of {times[-1]:.1f} seconds: {early}")
print(f"stated {metadata.timestamps[10]:.1f} s, shown at {shown[10]:.1f} s")
seen = (len(frames), early, f"{metadata.timestamps[10]:.1f}", f"{shown[10]:.1f}")
sys.exit(seen != (12, 11, "10.5", "3.3"))
PY
