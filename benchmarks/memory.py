"""The most memory a model takes while it is opened and speaks, against the bytes of its weights as they run.

    python -m svlm_cli.model.random_checkpoint /tmp/180m --size 180m
    python benchmarks/memory.py --model /tmp/180m

Every format in a process of its own (Linux). ``weights_mib`` counts each weight in the format it runs in, the
head where it is the embeddings once; ``peak_mib`` is the process's high-water mark above what it held before
the model was opened, once it is open and behind some seconds of stream.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

FORMATS: dict[str, dict[str, str]] = {
    "float32": {},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8"},
}
MIB = 1 << 20


def status(key: str) -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024


def measure(name: str, label: str, seconds: int) -> dict[str, object]:
    from svlm_cli import Sampling, StreamSession, StreamSettings, load_model, open_source

    before = status("VmRSS")
    model = load_model(name, device="cpu", threads=1, packed=True, **FORMATS[label])  # type: ignore[arg-type]
    opened = status("VmHWM")
    held = status("VmRSS")
    with open_source("arena:soccer,seed=3,minutes=60") as source:
        settings = StreamSettings(
            previous_text=source.opening_text(0.0), sampling=Sampling(greedy=True), max_pixels=400 * 28**2
        )
        session = StreamSession(model, settings)
        clips = source.clips(settings.fps, settings.step_seconds, 0.0, float(seconds))
        for clip in clips:
            session.step(clip)
    cache = session.cache.num_bytes if hasattr(session, "cache") else 0
    spoken = status("VmHWM")
    sizes = {}
    for key, tensor in model.network.state_dict().items():
        is_table = key.endswith("embed_tokens.weight")
        if not (is_table and model.network.config.is_tied):
            sizes[key] = tensor.numel() * tensor.element_size()
    weights = sum(sizes.values()) / MIB
    return {
        "format": label,
        "weights_mib": round(weights),
        "before_mib": round(before),
        "opening_peak_mib": round(opened - before),
        "opened_mib": round(held - before),
        "speaking_peak_mib": round(spoken - before),
        "cache_mib": round(cache / MIB),
        "opening_over_weights": round((opened - before) / weights, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--format", choices=list(FORMATS))
    chosen = parser.parse_args()
    if chosen.format:
        torch.set_num_threads(1)
        print(json.dumps(measure(chosen.model, chosen.format, chosen.seconds)))
        return
    for label in FORMATS:
        arguments = ["--model", chosen.model, "--seconds", str(chosen.seconds), "--format", label]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
