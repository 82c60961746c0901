#!/usr/bin/env bash
# torch 2.13.0: products of bfloat16 on a CPU leave memory behind for each new number of rows, up to 1,024 of them.
#
# oneDNN keeps what it has made ready for a size, and so does torch's layer above it; both hold 1,024 by default, of any
# size. Where every batch or prefill has another number of rows, a process grows by megabytes with each: 220 numbers of
# rows with four weights laid out once (up to 8,192 x 768) took 1,280 MiB on an Intel Xeon with AMX, and two processes that
# train a model of 5 M parameters on batches of many sizes 12 GiB each. oneDNN's ONEDNN_PRIMITIVE_CACHE_CAPACITY does not
# help alone (1,077 MiB with 64), and LRU_CACHE_CAPACITY, which the layer above it reads, does not either (1,286 MiB with
# 32). Both together do (5 MiB with 1, some 120 with 32), and making the products ready again took no
# measurable time at these sizes. Both are read at the first product, so a program may set them behind its imports (Linux
# x86-64).
#
# Seen: "kept: both bounded False, one bounded True, neither bounded True". Fails if that changes; on a processor without
# products of bfloat16 it ends with 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
cat >"$folder/grow.py" <<'PY'
import os
import sys

import torch

torch.set_num_threads(1)
if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
    print("none")
    sys.exit(0)
for name in sys.argv[1:]:
    os.environ[name] = "1"


def resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


weights = [torch.randn(shape).bfloat16() for shape in ((1280, 768), (768, 768), (8192, 768), (768, 4096))]
packed = [torch.ops.mkldnn._reorder_linear_weight(weight, 320) for weight in weights]


def multiply(rows: int) -> None:
    for weight, laid in zip(weights, packed):
        inputs = torch.randn(rows, weight.shape[1]).bfloat16()
        torch.ops.mkldnn._linear_pointwise(inputs, laid, None, "none", [], "")


multiply(420)
before = resident()
for rows in range(200, 420):
    multiply(rows)
print(resident() - before)
PY
run() { "$folder/venv/bin/python" "$folder/grow.py" "$@"; }
neither=$(run)
if [[ $neither == none ]]; then
    echo "this processor has no products of bfloat16"
    exit 0
fi
one=$(run ONEDNN_PRIMITIVE_CACHE_CAPACITY)
both=$(run ONEDNN_PRIMITIVE_CACHE_CAPACITY LRU_CACHE_CAPACITY)
echo "MiB kept for 220 numbers of rows: neither bounded $neither, one $one, both $both"
"$folder/venv/bin/python" - "$neither" "$one" "$both" <<'PY'
import sys

neither, one, both = (float(number) > 200 for number in sys.argv[1:])
print(f"kept: both bounded {both}, one bounded {one}, neither bounded {neither}")
sys.exit(not (neither and one and not both))
PY
