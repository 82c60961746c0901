#!/usr/bin/env bash
# torch 2.13.0: on a CPU with products of bfloat16, the backward pass of scaled_dot_product_attention over many short
# sequences takes several times as long in bfloat16 as in float32, where the forward pass takes less.
#
# Windows of 96 patches, four heads of 20, as a small vision tower has them, on an Intel Xeon with AMX, one thread: forward
# 4.0 ms in bfloat16 and 4.4 in float32, backward 80 and 13 ms; with heads of 32 it is the same, and at 1,400 tokens
# a sequence the backward pass in bfloat16 is the faster one. Half of a training step of that tower under autocast was
# this. Bringing the three inputs to float32 and the output back takes 21 ms for both passes instead of 84, outside autocast:
# within it scaled_dot_product_attention narrows float32 inputs to bfloat16 again (Linux x86-64).
#
# Seen: "backward: bfloat16 takes more than twice as long as float32: True". Fails if that changes; on a processor without
# products of bfloat16 everything in bfloat16 is slow, and it ends with 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
import time

import torch
from torch.nn.functional import scaled_dot_product_attention

torch.set_num_threads(1)
if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
    print("this processor has no products of bfloat16")
    sys.exit(0)


def times(dtype: torch.dtype) -> tuple[float, float]:
    """CPU milliseconds of the forward and the backward pass, the least of seven."""
    inputs = [torch.randn(96, 4, 96, 20).to(dtype).requires_grad_() for _ in range(3)]
    forward, backward = [], []
    for _ in range(7):
        began = time.process_time()
        out = scaled_dot_product_attention(*inputs)
        between = time.process_time()
        out.sum().backward()
        backward.append(time.process_time() - between)
        forward.append(between - began)
    return 1e3 * min(forward), 1e3 * min(backward)


in_bfloat16, in_float32 = times(torch.bfloat16), times(torch.float32)
print("forward {:.1f}, backward {:.1f} ms in bfloat16".format(*in_bfloat16))
print("forward {:.1f}, backward {:.1f} ms in float32".format(*in_float32))
slow = in_bfloat16[1] > 2 * in_float32[1]
print(f"backward: bfloat16 takes more than twice as long as float32: {slow}")
sys.exit(not slow)
PY
