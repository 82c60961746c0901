#!/usr/bin/env bash
# ray 2.60.0: ray.init(log_to_driver=False) keeps the workers' output away, yet messages of the raylet ("A worker died
# or was killed ...", "The node ... has been marked dead ...") are printed on the driver's standard output.
#
# A program whose standard output is data (JSON, CSV) writes lines of another kind into it as soon as a worker or a node
# dies; logging_level does not concern them, as they are printed, not logged (Linux x86-64, Python 3.11).
#
# Seen: "on standard output: (raylet) A worker died or was killed ...". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ray==2.60.0
cat >"$folder/program.py" <<'PY'
import os
import signal
import time

import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")


@ray.remote(max_retries=0)
def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


try:
    ray.get(is_killed.remote())
except ray.exceptions.WorkerCrashedError:
    time.sleep(8)
ray.shutdown()
PY
"$folder/venv/bin/python" "$folder/program.py" >"$folder/stdout" 2>"$folder/stderr"
echo "on standard output: $(head -c 120 "$folder/stdout")"
grep -q raylet "$folder/stdout"
