#!/usr/bin/env bash
# Gathers what a machine with torch, transformers, accelerate, safetensors, tokenizers and numpy lacks of what
# benchmarks/gpu.sh runs, into benchmarks/wheels (not committed, less than 60 MiB), for Linux on x86_64.
#
#     bash benchmarks/gpu_wheels.sh [PYTHON VERSION, default 3.12]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=${1:-3.12}
folder="$here/wheels"
rm -rf "$folder"
mkdir -p "$folder"
pinned=$(mktemp)
trap 'rm -f "$pinned"' EXIT
grep -E '^(peft|av|dashscope|tiktoken|pyyaml|psutil|pillow)==' "$here/../constraints.txt" >"$pinned"

fetch() {
    "${PYTHON:-python3}" -m pip download --quiet --only-binary=:all: --python-version "$version" \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$folder" "$@"
}
fetch --no-deps --requirement "$pinned"
fetch pydantic # with the very core it was built for
du -sh "$folder"
limit=$((60 * 1024))
[ "$(du -sk "$folder" | cut -f1)" -lt "$limit" ] || { echo "more than 60 MiB" >&2; exit 1; }
