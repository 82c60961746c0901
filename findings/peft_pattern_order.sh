#!/usr/bin/env bash
# peft 0.21.2: an adapter with overlapping patterns in alpha_pattern is another one after it was saved and opened.
#
# The first pattern that matches a layer gives its alpha, so the order of the patterns says which one counts.
# save_pretrained writes adapter_config.json with its keys sorted, those inside alpha_pattern and rank_pattern too, and
# the order that was trained with is lost: where "o_proj": 1 stood before "layers\.0\..*_proj": 31, the layer is scaled
# by 31 in place of 1, with no word. (For rank_pattern the shapes differ then, and opening fails.)
#
# Seen: "scale of the layer as trained: 0.25, as opened again: 7.75". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q peft==0.21.2 transformers==5.23.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/adapter" <<'PY'
import copy
import sys

import peft
import torch


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.o_proj = torch.nn.Linear(8, 8)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer()])

    def forward(self, inputs):
        return self.layers[0].o_proj(inputs)


def scale(adapted):
    return adapted.base_model.model.layers[0].o_proj.scaling["default"]


base = Model()
patterns = {"o_proj": 1, r"layers\.0\..*_proj": 31}
config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["o_proj"], alpha_pattern=patterns)
trained = peft.get_peft_model(copy.deepcopy(base), config)
trained.save_pretrained(sys.argv[1])
opened = peft.PeftModel.from_pretrained(copy.deepcopy(base), sys.argv[1])
print(f"scale of the layer as trained: {scale(trained)}, as opened again: {scale(opened)}")
sys.exit(0 if (scale(trained), scale(opened)) == (0.25, 7.75) else 1)
PY
