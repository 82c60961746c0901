#!/usr/bin/env bash
# One command that checks and measures all of svlm on a GPU in eight minutes (benchmarks/gpu.py says what).
#
#     bash benchmarks/gpu.sh [--out gpu-results]
#     bash benchmarks/gpu.sh --device cpu --size tiny --seconds 20     # a rehearsal
#
# Linux with CUDA, Python 3.11 or newer, torch and transformers; no network. What else is missing is taken from
# benchmarks/wheels, if benchmarks/gpu_wheels.sh has filled it; nothing is installed into the machine's Python.
# PYTHON names another interpreter than python3.
set -euo pipefail

# As one block: bash reads a file line by line while it runs, and this one may be changed meanwhile.
{
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
added=$(mktemp -d)
trap 'rm -rf "$added"' EXIT

# the wheel's name, the module's
needs="peft peft
av av
dashscope dashscope
tiktoken tiktoken
pydantic pydantic
pydantic_core pydantic_core
annotated_types annotated_types
typing_inspection typing_inspection
pyyaml yaml
psutil psutil
pillow PIL"

missing=()
lacking=$("$python" -c '
import importlib.util, sys
for line in sys.argv[1].splitlines():
    name, module = line.split()
    if importlib.util.find_spec(module) is None:
        print(name)
' "$needs")
for name in $lacking; do
    found=$(compgen -G "$here/wheels/$name-*.whl" | head -n 1 || true)
    if [ -n "$found" ]; then
        missing+=("$found")
    else
        echo "$name is neither installed nor in benchmarks/wheels (bash benchmarks/gpu_wheels.sh): parts may fail" >&2
    fi
done
install() {
    "$python" -m pip install --quiet --no-index --no-deps --target "$added" "$@"
}
if [ ${#missing[@]} -gt 0 ] && ! install "${missing[@]}"; then
    for wheel in "${missing[@]}"; do # one of them is for another Python: the others all the same
        install --upgrade "$wheel" || echo "${wheel##*/} cannot be installed here: parts may fail" >&2
    done
fi

export PYTHONPATH="$here/..:$added${PYTHONPATH:+:$PYTHONPATH}"
# The last: torch is not to wake the driver while it looks for a GPU, as parts are forked.
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTORCH_NVML_BASED_CUDA_CHECK=1
"$python" "$here/gpu.py" "$@" &
child=$!
trap 'kill "$child" 2>/dev/null' TERM INT HUP
code=0
wait "$child" || code=$?
if kill -0 "$child" 2>/dev/null; then # a signal ended the waiting: now its parts end
    wait "$child" || code=$?
fi
exit "$code"
}
