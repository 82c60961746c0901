"""Where a step's time goes: the share in which the device has nothing to do, and what it does in the rest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from svlm_cli import StreamSession, StreamSettings
from svlm_cli.bench.speed.measure import warm_up_steps
from svlm_cli.model.runtime import VideoLanguageModel

from .scale import PICTURE, Run

STEPS = 1
MICRO = 1e6
NUM_KERNELS = 10


def profiled(run: Run, model: VideoLanguageModel, settings: StreamSettings) -> dict[str, Any]:
    """A step behind the warm-up under torch's profiler.

    Returns:
        ``step_seconds``; ``idle_share`` of them in which no kernel ran (on a CPU, kernels are torch's
        operators), ``idle_share_between_kernels`` (from the first one's start to the last one's end, without
        reading and what the host does before and behind); ``num_kernels`` a step, and the costliest ones.
    """
    clips = run.opener(PICTURE).clips(settings.fps, settings.step_seconds)
    session = StreamSession(model, settings)
    for _ in range(warm_up_steps(settings)):
        session.step(next(clips))
    shown = [next(clips) for _ in range(STEPS)]
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if run.is_cuda else [])]
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        for clip in shown:
            session.step(clip)
        if run.is_cuda:
            torch.cuda.synchronize(run.device)
        seconds = (time.perf_counter() - began) / STEPS
    wanted = DeviceType.CUDA if run.is_cuda else DeviceType.CPU
    spans = [
        (each.time_range.start, each.time_range.end)
        for each in profiler.events()
        if each.device_type == wanted and not each.is_user_annotation and each.time_range.elapsed_us()
    ]
    if not spans:
        return {"step_seconds": seconds, "idle_share": None, "why": "the profiler saw no kernel"}
    busy, whole = covered(spans), max(end for _, end in spans) - min(start for start, _ in spans)
    clock = "self_device_time_total" if run.is_cuda else "self_cpu_time_total"
    kernels = costliest(profiler.key_averages(), wanted, clock)
    total = sum(getattr(each, clock) for each in kernels)
    return {
        "step_seconds": seconds,
        "idle_share": max(0.0, 1 - busy / MICRO / (seconds * STEPS)),
        "idle_share_between_kernels": 1 - busy / whole,
        "num_kernels": len(spans) // STEPS,
        "costliest": [
            {
                "kernel": each.key[:90],
                "share": getattr(each, clock) / total,
                "calls": each.count // STEPS,
            }
            for each in kernels[:NUM_KERNELS]
        ],
    }


def costliest(averages: Iterable[Any], wanted: DeviceType, clock: str) -> list[Any]:
    """The profiler's averages of what ran on a device, by time spent there.

    Operators of the host stand among them, each with its kernels' time once more: they are left out.
    """
    found = [
        each
        for each in averages
        if each.device_type == wanted and not each.is_user_annotation and getattr(each, clock)
    ]
    return sorted(found, key=lambda each: -getattr(each, clock))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of spans (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
