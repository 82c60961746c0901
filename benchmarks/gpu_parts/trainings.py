"""Part e: ``svlm train`` on the device, its losses beside those of the CPU.

The CPU needs minutes for what the device does in seconds: it begins with the run, at low priority on what
cores are left, waits while the parts that are timed run (``QUIET``), and tells every loss. As many steps as
it has done by the end of part e are compared, and how many that were is said. Its samples are short and its
pictures small.

Where the device is the CPU itself the reference takes samples one by one and computes activations a second
time (gradient checkpointing): another way to the same losses. FSDP2 is left away there by accelerate.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule

from svlm_cli.model.family.random_config import SIZES
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.recipe import load_recipe
from svlm_cli.train.trainer import train

from .record import Record
from .scale import Run, round_alike
from .watchdog import DONE, Guarded, Outcome

TOLERANCE = 1e-2
LORA = {"lora": {"rank": 8, "dropout": 0.0}}  # no dice, which each device has of its own
KINDS = {"LoRA": LORA, "full": {}}
WORKERS = 4
SAMPLES = 2  # of a step
SHARDED_STEPS = 12
LEAST_STEPS = 10  # of the reference, for losses to be compared
SPARED_CORES = 4  # for the device's process and its readers of samples
QUIET = "bd"  # parts beside which the CPU does nothing else
MARGIN = 3.0
LONG, SHORT, SHORT_TOKENS = "train_s12w24", "train_s2w2", 16  # samples' layouts; tokens of a picture
PREPARED = "clip_seconds"


class Reference:
    """Both trainings on the CPU, beside the parts.

    Args:
        run: what to train.
        limit_seconds: after which they are of no use.
    """

    def __init__(self, run: Run, limit_seconds: float) -> None:
        self._pieces = [
            Guarded(partial(_on_reference, run, kind), _record_of(run, kind), limit_seconds) for kind in KINDS
        ]

    def stand_by(self, letter: str) -> None:
        """Go on or wait, as the part that begins wants it."""
        for piece in self._pieces:
            piece.send(signal.SIGSTOP if letter in QUIET else signal.SIGCONT)

    def end(self) -> None:
        """Stop, however far it has come."""
        for piece in self._pieces:
            piece.end()


def part(run: Run, record: Record) -> None:
    """Each run in a process of its own, as svlm looks for a GPU once."""
    until, steps = record.ends_at - MARGIN, run.scale.compared_steps
    _wait(run, "LoRA", until, lambda values: PREPARED in values)
    found = _apart(run, record, "device", partial(_on_device, run), 0.6)
    for name, values in found.values.items():
        record.note(name, values)
    outcome = _apart(run, record, "middle", partial(_middle, run), 0.6)
    record.note(f"{run.scale.middle}, LoRA", outcome.values.get("middle") or {"why": outcome.reason})
    sharded = _apart(run, record, "fsdp2", partial(_sharded, run))
    num_sharded = sharded.values.get("sharded_modules")
    record.note("modules sharded by FSDP2", num_sharded)
    if run.is_cuda:
        record.check("FSDP2 shards the model", bool(num_sharded), f"{num_sharded} modules")
    expected = {}
    for kind in KINDS:
        told = _wait(run, kind, until, lambda values, kind=kind: len(values.get(kind, ())) == steps)
        expected[kind] = told.get(kind)
        problem = _record_of(run, kind).with_suffix(".problem")
        if problem.is_file():
            record.check(f"the reference, {kind}", False, problem.read_text())
        _compare(record, kind, found.values.get(f"{kind}, float32"), expected[kind])
    name = "full, FSDP2 on one rank" if num_sharded else "full, one rank, without FSDP2"
    _compare(record, name, sharded.values.get("fsdp2"), expected["full"])


def _on_reference(run: Run, kind: str, record: Record) -> None:
    """What the CPU says of every step; that of LoRA makes the files of part e before."""
    _hide_devices()
    os.nice(10)
    if run.is_cuda:
        cores = len(os.sched_getaffinity(0)) - SPARED_CORES
        torch.set_num_threads(max(1, cores // len(KINDS)))
    if kind == "LoRA":
        _prepare(run, record)
    else:
        _wait(run, "LoRA", record.ends_at, lambda values: PREPARED in values)
    other = {} if run.is_cuda else {"micro_batch": 1, "accumulate": SAMPLES, "gradient_checkpointing": True}
    losses: list[float] = []

    def told(line: str) -> None:
        if loss := re.search(r", loss ([^ ,]+)", line):
            losses.append(float(loss[1]))
            record.note(kind, losses)

    _trained(run, KINDS[kind], run.scale.compared_steps, is_short=True, tell=told, workers=0, **other)


def _record_of(run: Run, kind: str) -> Path:
    return run.folder / f"e-reference-{kind}.json"


def _wait(
    run: Run, kind: str, until: float, is_there: Callable[[Mapping[str, Any]], bool]
) -> Mapping[str, Any]:
    """What a reference has told once something is there, or it has failed, or it is too late."""
    path = _record_of(run, kind)
    while True:
        values: Mapping[str, Any] = json.loads(path.read_text())["values"] if path.is_file() else {}
        has_failed = path.with_suffix(".problem").is_file()
        if is_there(values) or has_failed or time.monotonic() > until:
            return values
        time.sleep(0.1)


def _apart(
    run: Run, record: Record, name: str, work: Callable[[Record], None], share: float = 1.0
) -> Outcome:
    limit = max(1.0, record.seconds_left - MARGIN) * share
    outcome = Guarded(work, run.folder / f"e-{name}.json", limit).wait()
    if name != "middle":
        record.check(name, outcome.status == DONE, outcome.reason or f"{outcome.wall_seconds:.0f} s")
    return outcome


def _compare(
    record: Record, name: str, found: Mapping[str, Any] | None, expected: Sequence[float] | None
) -> None:
    """Of a run's losses and the reference's; both may have ended early."""
    if not found or not found["losses"] or not expected:
        record.check(f"losses, {name}", False, "one of the two has none")
        return
    steps, num = found["steps"], min(len(found["losses"]), len(expected))
    if num < min(LEAST_STEPS, steps):
        record.note(f"losses, {name}", f"not compared: only {num} of {steps} steps were done on both")
        return
    losses, wanted = (torch.tensor(each[:num], dtype=torch.float64) for each in (found["losses"], expected))
    apart = (losses - wanted).abs()
    furthest, early = float(apart.max()), float(apart[:LEAST_STEPS].max())  # NaN where one is
    told = (
        f"{num} of {steps} steps, differ by {furthest:.1e} at most, by {early:.1e} in the first "
        f"{min(LEAST_STEPS, num)}; the first is {wanted[0]:.3f}"
    )
    if num < steps:
        told += "; the CPU came no further" if num == len(expected) else "; the device came no further"
    record.check(f"losses, {name}", furthest < TOLERANCE, told)


def _prepare(run: Run, record: Record) -> None:
    from training import make_chunks, make_video  # needs PyAV

    build_random_checkpoint(
        run.folder / "model", size=run.scale.small, vocabulary=str(run.folder / "tokenizer")
    )
    make_video(run.folder / "clip.mp4", run.scale.clip_seconds, (run.scale.width, run.scale.height))
    make_chunks(run.folder, run.scale.clip_seconds, name=LONG)
    make_chunks(run.folder, run.scale.clip_seconds, (2,), SHORT)
    record.note(PREPARED, run.scale.clip_seconds)


def _on_device(run: Run, record: Record) -> None:
    if not run.is_cuda:
        _hide_devices()
    round_alike()
    for kind, model in KINDS.items():
        record.note(f"{kind}, float32", _trained(run, model, run.scale.compared_steps, is_short=True))
    for kind, model in KINDS.items():
        record.note(f"{kind}, bfloat16", _trained(run, model, run.scale.train_steps, bfloat16="auto"))


def _sharded(run: Run, record: Record) -> None:
    if not run.is_cuda:
        _hide_devices()
    round_alike()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    names = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    os.environ.update(names | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
    found: list[int] = []

    def count(_line: str) -> None:
        found.append(sum(issubclass(type(each), FSDPModule) for each in gc.get_objects()))

    steps = min(SHARDED_STEPS, run.scale.compared_steps)
    record.note("fsdp2", _trained(run, {}, steps, is_short=True, tell=count, parallel="fsdp2"))
    record.note("sharded_modules", max(found, default=0))


def _middle(run: Run, record: Record) -> None:
    """LoRA on the middle model: made on the device, kept in bfloat16 (on a GPU)."""
    base = run.folder / "middle"
    if run.scale.middle in SIZES:
        build_random_checkpoint(base, size=run.scale.middle, vocabulary=str(run.folder / "tokenizer"))
    else:
        made = run.model(run.scale.middle)
        made.network.save_pretrained(base)
        run.tokenizer.save_pretrained(base)
        del made
        torch.cuda.empty_cache()
    model = LORA | {"weights": str(run.dtype).removeprefix("torch.")}
    steps = run.scale.big_steps
    record.note(
        "middle", _trained(run, model, steps, base=base, bfloat16="auto", gradient_checkpointing=True)
    )


def _hide_devices() -> None:
    """Before this process has looked for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _trained(
    run: Run,
    model: Mapping[str, Any],
    steps: int,
    *,
    base: Path | None = None,
    is_short: bool = False,
    micro_batch: int = SAMPLES,
    accumulate: int = 1,
    tell: Callable[[str], None] = lambda _: None,
    **recipe: Any,
) -> dict[str, Any]:
    """Train by a recipe of one stage; losses, speed and memory."""
    tokens, chunks = (SHORT_TOKENS, SHORT) if is_short else (run.scale.train_tokens, LONG)
    area = tokens * 28 * 28
    stage = {
        "name": "sft",
        "steps": steps,
        "micro_batch": micro_batch,
        "accumulate": accumulate,
        "learning_rate": 1e-4,
        "warmup_steps": 1,  # of no share, as runs of other lengths are compared
        "end_share": 1.0,
        "save_steps": 10_000,
        "chunks": [{"path": str(run.folder), "name": chunks}],
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
