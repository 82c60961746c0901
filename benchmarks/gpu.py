"""Everything svlm does on a GPU, checked and measured in eight minutes: run by ``benchmarks/gpu.sh``.

    bash benchmarks/gpu.sh [--device cuda] [--out gpu-results] [--parts abcdef]
    bash benchmarks/gpu.sh --device cpu --size tiny --seconds 20      # a rehearsal
    python benchmarks/gpu.py --markdown gpu-results/results.json      # the section of docs/performance.md

Needs torch and transformers, no network and no room on the disk: weights are random and made on the device.
Parts, in this order; each in a process that is ended when its seconds are over, results written after each,
and none goes on behind 470 s:

    a   55 s  a small checkpoint and the bundled model: ids, positions, keys, logits, words, states, graphs
    b  150 s  7B, bfloat16, 640x360, full window at 8, 2, 24 and 60 FPS; graphs on and off; the highest FPS
    c   60 s  full, window and recompute at 8 FPS until a token costs 0.1 s, or 200 s of stream
    d   55 s  3B with windows of 4 and 16 s; flash-attention; kernels, and the share of a step without any
    e   90 s  svlm train: LoRA and full on 180m, 200 losses beside the CPU's (which is at it from the start,
              but while b and d are timed); LoRA on 3B; FSDP2 on one rank
    f   60 s  several streams in one forward: words as alone; 3B at 2 and 8 FPS with 1 to 64 channels

A rehearsal on a CPU computes on one thread, and gives its parts four times as long: others may be there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from gpu_parts.report import section, table

TITLES = {
    "a": ("the same as on the CPU", 55),
    "b": ("speed of the big model", 150),
    "c": ("other policies along the stream", 60),
    "d": ("the middle model, kernels and waits", 55),
    "e": ("training", 90),
    "f": ("several streams in one forward", 60),
}
PACKAGES = ("torch", "transformers", "accelerate", "peft", "flash_attn", "triton", "numpy")
RESULTS = "results.json"
WHOLE_SECONDS = 470
FACTS_SECONDS = 30
REHEARSAL_PATIENCE = 4.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--size", choices=("real", "tiny"), default="real")
    parser.add_argument("--seconds", type=int, default=40, help="of stream that each run shows at most")
    parser.add_argument("--parts", default="".join(TITLES), help="letters, in the order to run")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"))
    parser.add_argument("--vocabulary", help="Qwen's: a file or folder; that of dashscope by itself")
    parser.add_argument("--patience", type=float, help="times the parts' seconds: 1, of a rehearsal 4")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print the section and stop")
    chosen = parser.parse_args()
    unknown = sorted({*chosen.parts} - {*TITLES})
    if unknown:
        parser.error(f"--parts: there is no part {', '.join(unknown)}")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", chosen.device):
        parser.error(f"--device {chosen.device}: it is cuda, cuda:N or cpu")
    if chosen.patience is None:
        chosen.patience = REHEARSAL_PATIENCE if chosen.device == "cpu" else 1.0
    if chosen.seconds < 1 or not 0 < chosen.patience < float("inf"):
        parser.error("--seconds must be 1 or more, --patience above 0")
    return chosen


def works() -> dict[str, Callable[[Any, Any], None]]:
    """What each part runs; all is imported here, once, before the parts are forked, and wakes no GPU."""
    import transformers
    from gpu_parts import channels, same, streams, trainings

    assert transformers.Qwen2_5_VLForConditionalGeneration  # imported on first use
    with suppress(ImportError):  # part e says what is missing
        import peft  # noqa: F401
        import training  # noqa: F401
    return {
        "a": same.part,
        "b": streams.speeds,
        "c": streams.policies,
        "d": streams.others,
        "e": trainings.part,
        "f": channels.part,
    }


def machine(device: str) -> dict[str, Any]:
    """Names and versions; nothing here wakes the device."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "device": device,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def gpu_facts(run: Any, record: Any) -> None:
    """In a process of its own, as a process that has woken CUDA cannot be forked."""
    import torch

    if run.is_cuda:
        properties = torch.cuda.get_device_properties(run.device)
        record.note("gpu", properties.name)
        record.note("gpu_memory_bytes", properties.total_memory)
        record.note("cuda", torch.version.cuda)
        record.note("compute_capability", f"{properties.major}.{properties.minor}")


def room() -> str | None:
    """A folder in memory for checkpoints, where the system has one with room."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 16 << 30 else None


def write(out: Path, results: Mapping[str, Any]) -> None:
    partial_path = out / f"{RESULTS}.{os.getpid()}.partial"
    partial_path.write_text(json.dumps(results, indent=1) + "\n")
    partial_path.replace(out / RESULTS)


def begin(out: Path) -> None:
    """Make the folder; results that are there are kept beside."""
    from svlm_cli.files import put_aside

    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / RESULTS).is_file():
            print(f"the results that were there: {put_aside(out / RESULTS)}", file=sys.stderr)
    except OSError as error:
        sys.exit(f"--out {out} cannot be used: {error.strerror}")


def stop(number: int, _frame: object) -> None:
    """End with all parts, whose processes are sent no signal of their own."""
    sys.exit(128 + number)


def run_parts(chosen: argparse.Namespace, results: dict[str, Any], folder: Path, began: float) -> None:
    """Every part in turn, into ``results`` and their file."""
    from gpu_parts import trainings
    from gpu_parts.scale import SCALES, Run
    from gpu_parts.watchdog import Guarded

    from svlm_cli.model.random_checkpoint import open_vocabulary

    whole = WHOLE_SECONDS * chosen.patience
    tokenizer = open_vocabulary(chosen.vocabulary)
    tokenizer.save_pretrained(folder / "tokenizer")
    run = Run(chosen.device, SCALES[chosen.size], chosen.seconds, folder, tokenizer)
    parts = works()
    facts = Guarded(partial(gpu_facts, run), folder / "machine.json", FACTS_SECONDS * chosen.patience).wait()
    results["machine"] |= facts.values | ({"problem": facts.reason} if facts.reason else {})
    results["machine"]["files"] = "on the disk" if room() is None else "in memory"
    write(chosen.out, results)
    with ExitStack() as stack:
        reference = trainings.Reference(run, whole) if "e" in chosen.parts else None
        if reference is not None:
            stack.callback(reference.end)
        for letter in chosen.parts:
            title, limit = TITLES[letter]
            print(f"[{time.monotonic() - began:5.0f} s] {letter}: {title}", file=sys.stderr, flush=True)
            left = whole - (time.monotonic() - began)
            seconds = max(1.0, min(limit * chosen.patience, left))
            if reference is not None:
                reference.stand_by(letter)
            outcome = Guarded(partial(parts[letter], run), folder / f"{letter}.json", seconds).wait()
            results["parts"][letter] = {
                "title": title,
                "status": outcome.status,
                "reason": outcome.reason,
                "wall_seconds": round(outcome.wall_seconds, 1),
                "values": outcome.values,
                "checks": outcome.checks,
            }
            results["wall_seconds"] = round(time.monotonic() - began, 1)
            write(chosen.out, results)


def main() -> int:
    chosen = arguments()
    if chosen.markdown is not None:
        found = chosen.markdown.is_file()
        if not found:
            print(f"there are no results in {chosen.markdown}", file=sys.stderr)
        print(section(json.loads(chosen.markdown.read_text()) if found else None))
        return 0
    began = time.monotonic()
    signal.signal(signal.SIGTERM, stop)
    if chosen.device == "cpu":  # before torch is imported: waiting threads burn a busy CPU
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    begin(chosen.out)
    results: dict[str, Any] = {"benchmark": "gpu", "size": chosen.size, "seconds": chosen.seconds}
    results |= {"machine": machine(chosen.device), "parts": {}}
    with tempfile.TemporaryDirectory(dir=room(), ignore_cleanup_errors=True) as name:
        try:
            run_parts(chosen, results, Path(name), began)
        except ModuleNotFoundError as error:
            sys.exit(f"this needs torch and transformers: {error}")
    print(table(results))
    return 0 if all(each["status"] in ("done", "skipped") for each in results["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
