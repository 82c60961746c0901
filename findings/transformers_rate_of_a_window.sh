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
# Seen: "whole video: 0.50 s apart by timestamps, 0.50 by sampled_fps, patches 2 positions apart",
#       "seconds 50 to 54: 0.50 s apart by timestamps, 7.50 by sampled_fps, patches 30 positions apart".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.23.0 torch==2.13.0 numpy==2.4.6 av==18.1.0 pillow==13.0.0
"$folder/venv/bin/python" - "$folder/minute.mp4" <<'PY'
import sys

import av
import numpy as np
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel
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

vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32, "tokens_per_second": 2}
text = {"vocab_size": 8, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
text |= {"num_key_value_heads": 2, "bos_token_id": None, "eos_token_id": None}
text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
model = Qwen2_5_VLModel(Qwen2_5_VLConfig(text_config=text, vision_config=vision))


def look(indices):
    """Seconds between two frames by timestamps and by sampled_fps, and positions between two patches of time."""
    frames, metadata = load_video(path, sample_indices_fn=lambda metadata, **given: np.array(indices))
    assert len(frames) == len(indices)
    between = metadata.timestamps[1] - metadata.timestamps[0]
    patches = len(frames) // PATCH
    positions, _ = model.get_rope_index(
        torch.full((1, patches), 5),
        torch.full((1, patches), 2),
        video_grid_thw=torch.tensor([[patches, 2, 2]]),
        second_per_grid_ts=[PATCH / metadata.sampled_fps],  # as Qwen2_5_VLProcessor does
    )
    return f"{between:.2f}", f"{1 / metadata.sampled_fps:.2f}", (positions[0, 0, 1] - positions[0, 0, 0]).item()


whole, window = look(range(0, 600, 5)), look(range(500, 540, 5))
for name, seen in (("whole video", whole), ("seconds 50 to 54", window)):
    print("{}: {} s apart by timestamps, {} by sampled_fps, patches {} positions apart".format(name, *seen))
sys.exit(not (whole == ("0.50", "0.50", 2) and window == ("0.50", "7.50", 30)))
PY
