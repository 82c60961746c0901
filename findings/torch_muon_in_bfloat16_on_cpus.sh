#!/usr/bin/env bash
# torch 2.13.0: on a processor without AVX-512, torch.optim.Muon and bfloat16 autocast take many times as long as
# float32.
#
# Muon orthogonalises in bfloat16 whatever its weights are held in, and has no option for it. Products of bfloat16
# matrices that oneDNN does not take, as the processor has no AVX-512, go through a plain loop: on an AMD EPYC of the third
# generation (AVX2) a step of four matrices of up to 256 x 512 took 1.1 s, the same products in float32 0.04 s, and a
# product of 1,024 x 512 x 512 some 40 times as long as in float32. transformers' Trainer with bf16=True takes the same way
# and says nothing (Linux x86-64).
#
# Seen: "bfloat16 takes more than 5 times as long as float32: product True, Muon True". Fails if that changes; on a
# processor whose bfloat16 oneDNN takes there is nothing to see, and it ends with 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
import time
from collections.abc import Callable

import torch

torch.set_num_threads(1)
if torch.ops.mkldnn._is_mkldnn_bf16_supported():
    print("oneDNN multiplies bfloat16 on this processor")
    sys.exit(0)


def seconds(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def product(dtype: torch.dtype) -> float:
    left, right = torch.randn(1024, 512).to(dtype), torch.randn(512, 512).to(dtype)
    return seconds(lambda: left @ right)


def newton_schulz() -> None:
    for shape in SHAPES:
        found = torch.randn(shape)
        for _ in range(5):
            square = found @ found.T
            found = torch.addmm(found, torch.addmm(square, square, square), found)


SHAPES = ((256, 512), (256, 512), (256, 256), (64, 256))
weights = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
for weight in weights:
    weight.grad = torch.randn_like(weight)
muon = torch.optim.Muon(weights)
products = product(torch.bfloat16) / product(torch.float32)
steps = seconds(muon.step) / seconds(newton_schulz)
print(f"product {products:.0f}, Muon {steps:.0f} times float32")
print(f"bfloat16 takes more than 5 times as long as float32: product {products > 5}, Muon {steps > 5}")
sys.exit(not (products > 5 and steps > 5))
PY
