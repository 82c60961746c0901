#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2, SVT-AV1 4.1.0): run by root, opening libsvtav1 makes the thread that calls it a real-time one.
#
# The calling thread is left with SCHED_FIFO at priority 99 when the encoder has been closed, not the encoder's own threads
# alone. Whatever this thread starts from then on inherits it: of a program that writes one AVIF picture and opens a
# browser, all threads of the browser are preferred to everything else on the machine. A thread of its own for the
# encoder keeps the others as they were (Linux x86-64; run as another user than root nothing is changed).
#
# Seen as root: "before 0, after 1 at 99, a child 1; in a thread of its own 0". Fails if that changes.
set -euo pipefail
if [[ $(id -u) != 0 ]]; then
    echo "only root sees this" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/one.avif" 2>/dev/null <<'PY'
import os
import subprocess
import sys
import threading

import av
import numpy as np

CHILD = "import os; print(os.sched_getscheduler(0))"


def write() -> None:
    with av.open(sys.argv[1], "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 128, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))


before = os.sched_getscheduler(0)
other = threading.Thread(target=write)
other.start()
other.join()
beside = os.sched_getscheduler(0)
write()
after, priority = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
child = int(subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=True).stdout)
os.sched_setscheduler(0, before, os.sched_param(0))
print(f"before {before}, after {after} at {priority}, a child {child}; in a thread of its own {beside}")
sys.exit((before, after, priority, child, beside) != (os.SCHED_OTHER, os.SCHED_FIFO, 99, os.SCHED_FIFO, os.SCHED_OTHER))
PY
