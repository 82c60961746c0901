"""Part e: ``svlm train`` on the device, its losses beside those of the CPU.

Where the device is the CPU itself the reference takes samples one by one and computes activations a second
time (gradient checkpointing): another way to the same losses. FSDP2 is left away there by accelerate.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule

from svlm_cli.model.random_checkpoint import SIZES, build_random_checkpoint
from svlm_cli.recipe import load_recipe
from svlm_cli.train.trainer import train

from .record import Record
from .scale import Run
from .watchdog import DONE, Guarded, Outcome

TOLERANCE = 1e-2
LORA = {"lora": {"rank": 8}}
WORKERS = 4
SAMPLES = 2  # of a step
MARGIN = 3.0


def part(run: Run, record: Record) -> None:
    """Each run in a process of its own, as svlm looks for a GPU once; device and reference side by side."""
    _apart(run, record, "prepare", partial(_prepare, run))
    device = _start(run, record, "device", partial(_on_device, run), 0.7)
    reference = _start(run, record, "reference", partial(_on_reference, run), 0.7)
    found, expected = device.wait(), reference.wait()
    for name in ("LoRA", "full"):
        _compare(record, name, found.values.get(f"{name}, float32"), expected.values.get(name))
    for name, values in found.values.items():
        record.note(name, values)
    for name, outcome in (("the runs on the device", found), ("the runs on the reference", expected)):
        record.check(name, outcome.status == DONE, outcome.reason or "ended")
    sharded = _apart(run, record, "fsdp2", partial(_sharded, run))
    num_sharded = sharded.values.get("sharded_modules")
    record.note("modules sharded by FSDP2", num_sharded)
    if run.is_cuda:
        record.check("FSDP2 shards the model", bool(num_sharded), f"{num_sharded} modules")
    name = "full, FSDP2 on one rank" if num_sharded else "full, one rank, without FSDP2"
    _compare(record, name, sharded.values.get("fsdp2"), expected.values.get("full"))
    outcome = _apart(run, record, "middle", partial(_middle, run))
    record.note(f"{run.scale.middle}, LoRA", outcome.values.get("middle") or {"why": outcome.reason})


def _start(run: Run, record: Record, name: str, work: Callable[[Record], None], share: float) -> Guarded:
    limit = max(1.0, record.seconds_left - MARGIN) * share
    return Guarded(work, run.folder / f"e-{name}.json", limit)


def _apart(run: Run, record: Record, name: str, work: Callable[[Record], None]) -> Outcome:
    outcome = _start(run, record, name, work, 1.0).wait()
    if name != "middle":
        record.check(name, outcome.status == DONE, outcome.reason or f"{outcome.wall_seconds:.0f} s")
    return outcome


def _compare(record: Record, name: str, found: Any, expected: Any) -> None:
    if not found or not expected:
        record.check(f"losses, {name}", False, "one of the two has none")
        return
    losses, wanted = (torch.tensor(each["losses"], dtype=torch.float64) for each in (found, expected))
    if len(losses) != len(wanted):
        record.check(f"losses, {name}", False, f"{len(losses)} steps against {len(wanted)}")
        return
    furthest = float((losses - wanted).abs().max())  # NaN where one is
    told = f"{len(losses)} steps, differ by {furthest:.1e} at most; the first is {wanted[0]:.3f}"
    record.check(f"losses, {name}", furthest < TOLERANCE, told)


def _prepare(run: Run, record: Record) -> None:
    from training import make_chunks, make_video  # needs PyAV

    build_random_checkpoint(
        run.folder / "model", size=run.scale.small, vocabulary=str(run.folder / "tokenizer")
    )
    make_video(run.folder / "clip.mp4", run.scale.clip_seconds, (run.scale.width, run.scale.height))
    make_chunks(run.folder, run.scale.clip_seconds)
    record.note("clip_seconds", run.scale.clip_seconds)


def _on_device(run: Run, record: Record) -> None:
    scale = run.scale
    if not run.is_cuda:
        _hide_devices()
    for name, model in (("LoRA", LORA), ("full", {})):
        record.note(f"{name}, float32", _trained(run, model, scale.compared_steps))
    for name, model in (("LoRA", LORA), ("full", {})):
        record.note(f"{name}, bfloat16", _trained(run, model, scale.train_steps, bfloat16=True))


def _on_reference(run: Run, record: Record) -> None:
    _hide_devices()
    if run.is_cuda:  # the other run's readers of samples are there too
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - WORKERS - 2))
    other = {} if run.is_cuda else {"micro_batch": 1, "accumulate": SAMPLES, "gradient_checkpointing": True}
    for name, model in (("LoRA", LORA), ("full", {})):
        record.note(name, _trained(run, model, run.scale.compared_steps, **other))


def _sharded(run: Run, record: Record) -> None:
    if not run.is_cuda:
        _hide_devices()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    names = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    os.environ.update(names | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
    found: list[int] = []

    def count(_line: str) -> None:
        found.append(sum(issubclass(type(each), FSDPModule) for each in gc.get_objects()))

    record.note("fsdp2", _trained(run, {}, run.scale.compared_steps, tell=count, parallel="fsdp2"))
    record.note("sharded_modules", max(found, default=0))


def _middle(run: Run, record: Record) -> None:
    """LoRA on the middle model: made on the device, kept in bfloat16."""
    base = run.folder / "middle"
    if run.scale.middle in SIZES:
        build_random_checkpoint(base, size=run.scale.middle, vocabulary=str(run.folder / "tokenizer"))
    else:
        made = run.model(run.scale.middle)
        made.network.save_pretrained(base)
        run.tokenizer.save_pretrained(base)
        del made
        torch.cuda.empty_cache()
    model = LORA | {"weights": "bfloat16"}
    steps = run.scale.big_steps
    record.note("middle", _trained(run, model, steps, base=base, bfloat16=True, gradient_checkpointing=True))


def _hide_devices() -> None:
    """Before this process has looked for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _trained(
    run: Run,
    model: Mapping[str, Any],
    steps: int,
    *,
    base: Path | None = None,
    micro_batch: int = SAMPLES,
    accumulate: int = 1,
    tell: Callable[[str], None] = lambda _: None,
    **recipe: Any,
) -> dict[str, Any]:
    """Train by a recipe of one stage; losses, speed and memory."""
    area = (128 if run.scale.small != "tiny" else 16) * 28 * 28
    stage = {
        "name": "sft",
        "steps": steps,
        "micro_batch": micro_batch,
        "accumulate": accumulate,
        "learning_rate": 1e-4,
        "end_share": 1.0,
        "save_steps": 10_000,
        "chunks": [{"path": str(run.folder), "name": "train_s12w24"}],
    }
    whole = {
        "model": {"base": str(base or run.folder / "model"), "min_pixels": area, "max_pixels": area, **model},
        "bfloat16": False,
        "log_steps": 1,
        "workers": WORKERS if run.is_cuda else 0,
        "report_to": [],
        "stages": [stage],
    }
    output = run.folder / f"train-{os.getpid()}"
    path = output.with_suffix(".yaml")
    path.write_text(json.dumps(whole | recipe))
    if run.is_cuda and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    train(load_recipe(path), output, tell=tell)
    seconds = time.perf_counter() - began
    state = json.loads((output / "sft" / f"checkpoint-{steps}" / "trainer_state.json").read_text())
    shutil.rmtree(output)
    log = [each for each in state["log_history"] if "loss" in each]
    rates = sorted(each["tokens_per_second"] for each in log[1:])
    return {
        "steps": steps,
        "losses": [each["loss"] for each in log],
        "tokens_per_second": rates[len(rates) // 2] if rates else None,
        "waiting_share": sum(each["data_wait_share"] for each in log) / len(log),
        "peak_device_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        "seconds": seconds,
    }
