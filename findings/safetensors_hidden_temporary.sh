#!/usr/bin/env bash
# safetensors 0.8.0: save_file writes to a hidden file beside the target and renames it; whoever is killed in
# between leaves it, as large as the weights, under a random name that no later call removes.
#
# A folder that a program saves to every minute and that is killed now and then fills up with files named .tmpXXXXXX;
# `ls` does not show them. Known names (the target's own, or a prefix of the caller's) are not used, so a program
# cannot tell its own leftovers from somebody else's (numpy 2.4.6, Linux x86-64).
#
# Seen: "left behind: 1 hidden file named .tmp..., the target is not there". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.4.6
mkdir "$folder/out"
"$folder/venv/bin/python" - "$folder/out" <<'PY'
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

out = Path(sys.argv[1])
for _ in range(20):  # until a kill falls between the first byte and the rename
    child = os.fork()
    if child == 0:
        save_file({"weights": np.zeros(1 << 27, np.float32)}, out / "state.safetensors")
        os._exit(0)
    while not any(out.iterdir()):
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    names = [path.name for path in out.iterdir()]
    if "state.safetensors" not in names:
        break
    for path in out.iterdir():
        path.unlink()
hidden = [name for name in names if name.startswith(".tmp")]
print(f"left behind: {len(hidden)} hidden file named .tmp..., the target is {'' if 'state.safetensors' in names else 'not '}there")
sys.exit(0 if len(hidden) == 1 and names == hidden else 1)
PY
