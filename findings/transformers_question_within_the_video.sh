#!/usr/bin/env bash
# transformers 5.23.0: in Qwen2.5-VL the text behind a video is given positions inside the video, and the answer is given
# other ones by generate() than by the model's own forward pass.
#
# Qwen2-VL's paper (arXiv 2409.12191, M-RoPE) numbers each modality from the largest position of the one before, plus one,
# and the docstring of get_rope_index has text count on from there. It moves on by half the larger side of a frame alone, and
# forgets the time row: behind a video whose time goes further, the question stands among the first seconds, at the same
# place whether the video has 4 patches of time or 60, and a second video is laid over the first. Qwen2-VL and others share the
# lines; families with a stamp before each patch (Qwen3-VL) are not reached, as their blocks have one time. The offset
# returned beside the positions does count the time row: a loop of forward passes over a cache, without position_ids, puts
# the first word of the answer behind the video, and generate() right behind the question, so that the two compute
# other things from one prompt, with no word (Linux x86-64).
#
# Seen: "60 patches: the video ends at 120, the question stands at 6..9, the answer at 10 by generate(), 121 by forward
# passes", "same answers from both: False", "4 patches: the video ends at 8, the question stands at 6..9".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.23.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

BEGIN, VIDEO, END = 62, 60, 63
torch.manual_seed(0)
text = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
text |= {"num_key_value_heads": 2, "initializer_range": 0.5, "bos_token_id": None, "eos_token_id": None}
text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
vision |= {"tokens_per_second": 2, "fullatt_block_indexes": [0]}
ids = {"video_token_id": VIDEO, "image_token_id": 61, "vision_start_token_id": BEGIN, "vision_end_token_id": END}
model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)).eval()
fed = []
model.model.language_model.register_forward_pre_hook(
    lambda module, args, given: fed.append(given["position_ids"][-3:].clone()), with_kwargs=True
)


@torch.no_grad()
def look(patches):
    """Last position of the video, those of the question, the answer's by generate() and by forward, whether alike."""
    words = torch.tensor([[1, BEGIN] + [VIDEO] * (patches * 16) + [END, 2, 3, 4]])
    given = {
        "input_ids": words,
        "attention_mask": torch.ones_like(words),
        "mm_token_type_ids": (words == VIDEO).int() * 2,
        "pixel_values_videos": torch.randn(patches * 64, 3 * 2 * 14 * 14),
        "video_grid_thw": torch.tensor([[patches, 8, 8]]),
        "second_per_grid_ts": torch.tensor([1.0]),
    }
    fed.clear()
    told = model.generate(
        **given, max_new_tokens=2, min_new_tokens=2, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    prompt, by_generate = fed
    fed.clear()
    first = model(**given, use_cache=True)
    second = model(input_ids=first.logits[:, -1:].argmax(-1), past_key_values=first.past_key_values)
    same_start = torch.allclose(first.logits[:, -1], told.logits[0], atol=1e-4) and torch.equal(fed[0], prompt)
    alike = torch.allclose(second.logits[:, -1], told.logits[1], atol=1e-4)
    assert same_start
    at_video = prompt[:, 0, words[0] == VIDEO].max().item()
    question = prompt[0, 0, -4:].tolist()
    return at_video, question, by_generate.unique().tolist(), fed[1].unique().tolist(), alike


long, short = look(60), look(4)
print(
    f"60 patches: the video ends at {long[0]}, the question stands at {long[1][0]}..{long[1][-1]}, "
    f"the answer at {long[2][0]} by generate(), {long[3][0]} by forward passes"
)
print(f"same answers from both: {long[4]}")
print(f"4 patches: the video ends at {short[0]}, the question stands at {short[1][0]}..{short[1][-1]}")
sys.exit(not (long == (120, [6, 7, 8, 9], [10], [121], False) and short[:2] == (8, [6, 7, 8, 9])))
PY
