#!/usr/bin/env bash
# transformers 5.23.0: for frames of a part of a video, VideoMetadata.sampled_fps is not the rate they were taken at, but as
# many times lower as the video is longer than the part; Qwen2.5-VL's processor makes its positions of it.
#
# load_video lets the caller choose the frames (sample_indices_fn), and its metadata has their indices. sampled_fps, by its
# docstring the rate of the sampled video, divides their number by the length of the whole file: two frames a second of
# seconds 50 to 54 of a minute are 0.13 a second, where timestamps of the same object lie 0.5 s apart. Qwen2_5_VLProcessor
# divides temporal_patch_size by sampled_fps for second_per_grid_ts, which get_rope_index documents as the seconds between two
# patches of time: 15 s in place of 1, and the model, whose position of time is meant to be the clock, sees four seconds
# spread over a minute, with no word. Qwen3-VL's processor writes the times of the indices and is right. A caller who cuts windows
# out of a longer recording passes second_per_grid_ts of its own, or total_num_frames and indices of the window (Linux
# x86-64).
#
# Seen: "whole video: 0.50 s apart by timestamps, 0.50 by sampled_fps, patches of time 1.00",
#       "seconds 50 to 54: 0.50 s apart by timestamps, 7.50 by sampled_fps, patches of time 15.00".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.23.0 numpy==2.4.6 av==18.1.0 pillow==13.0.0
"$folder/venv/bin/python" - "$folder/minute.mp4" <<'PY'
import sys

import av
import numpy as np
from transformers.video_utils import load_video

PATCH = 2  # frames of a patch of time
path = sys.argv[1]
with av.open(path, "w") as container:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for _ in range(600):
        picture = np.zeros((48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode())


def look(indices):
    """Seconds between two frames by timestamps and by sampled_fps, and second_per_grid_ts as Qwen2_5_VLProcessor has it."""
    frames, metadata = load_video(path, sample_indices_fn=lambda metadata, **given: np.array(indices))
    assert len(frames) == len(indices)
    between = metadata.timestamps[1] - metadata.timestamps[0]
    return f"{between:.2f}", f"{1 / metadata.sampled_fps:.2f}", f"{PATCH / metadata.sampled_fps:.2f}"


whole, window = look(range(0, 600, 5)), look(range(500, 540, 5))
for name, seen in (("whole video", whole), ("seconds 50 to 54", window)):
    print("{}: {} s apart by timestamps, {} by sampled_fps, patches of time {}".format(name, *seen))
sys.exit(not (whole == ("0.50", "0.50", "1.00") and window == ("0.50", "7.50", "15.00")))
PY
