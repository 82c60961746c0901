"""Parts b, c and d: how fast streams are, stage by stage, by policy, and where a step's time goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from svlm_cli.bench.speed.measure import SpeedRun, find_max_fps, measure, warm_up_steps
from svlm_cli.bench.speed.plan import NamedSettings, SpeedClock, SpeedPlan
from svlm_cli.bench.speed.report import row, step_totals
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import Policy, StreamSettings

from .record import Record
from .scale import PICTURE, Run, fixed

FLOOR_STEPS = 3
STEADY_STEPS = 12
PAPER_LIMIT = 0.1  # s/token, where figure 7 of the paper is cut
RATES = (8.0, 2.0, 24.0, 60.0)
FIRST_PAIRS = 16  # the search for the highest FPS begins at 32
MARGIN = 5.0


def speeds(run: Run, record: Record) -> None:
    """Part b: the big model under ``streaming`` at four rates, graphs on and off, and the highest rate."""
    plain = run.model(run.scale.big)
    replayed = fixed(plain)
    shares = {8.0: 0.2, 2.0: 0.25, 24.0: 0.35, 60.0: 0.55}
    for fps in RATES:
        settings = run.settings(fps=fps)
        _timed(run, record, f"{fps:g} FPS", replayed, settings, shares[fps])
        if fps == RATES[0]:
            _timed(run, record, f"{fps:g} FPS, graphs off", plain, settings, 0.3)
    _highest(run, record, replayed)


def policies(run: Run, record: Record) -> None:
    """Part c: the other policies at 8 FPS until a token costs 0.1 s, as in figure 7, or 200 s are over."""
    model = fixed(run.model(run.scale.big))
    for policy, share in ((Policy.FULL, 0.55), (Policy.WINDOW, 0.6), (Policy.RECOMPUTE, 0.8)):
        settings = run.settings(fps=8.0, policy=policy)
        ends_at = record.seconds_left * (1 - share) + MARGIN * share

        def is_enough(so_far: SpeedRun, ends_at: float = ends_at) -> bool:
            return _last_cost(so_far) > PAPER_LIMIT or record.seconds_left < ends_at

        longest = max(200, run.seconds) if run.scale.big == "7b" else run.seconds
        found = _measured(run, model, policy.value, settings, longest, 0, is_enough)
        record.note(policy.value, row(found) | _course(found))


def others(run: Run, record: Record) -> None:
    """Part d: the middle model at 8 FPS with two windows, flash-attention, kernels and waits."""
    from .kernels import profiled

    plain = run.model(run.scale.middle)
    model = fixed(plain)
    shown = run.settings(fps=8.0)
    for window in (shown.vision_window / 4, shown.vision_window):
        settings = replace(shown, vision_window=window)
        _timed(run, record, f"{run.scale.middle}, window {window:g} s", model, settings, 0.3)
    small = replace(shown, vision_window=4.0, rounds=4)
    for name, way in (("graphs", model), ("no graphs", plain)):
        record.note(f"profile, {name}", profiled(run, way, small))
    record.note("flash-attention 2", _flash(run, record, plain, replace(shown, vision_window=4.0)))


def _flash(run: Run, record: Record, model: VideoLanguageModel, settings: StreamSettings) -> str:
    from transformers.utils import is_flash_attn_2_available

    if not run.is_cuda or not is_flash_attn_2_available():
        return "not installed"
    model.network.set_attn_implementation({"vision_config": "flash_attention_2"})
    way = fixed(replace(model, vision_plans={}))
    _timed(run, record, f"{run.scale.middle}, flash-attention in the tower", way, settings, 0.5)
    return "measured"


def _timed(
    run: Run, record: Record, name: str, model: VideoLanguageModel, settings: StreamSettings, share: float
) -> None:
    """One run in the steady state, within a share of the time that is left."""
    steps = min(run.seconds, warm_up_steps(settings) + STEADY_STEPS + FLOOR_STEPS)
    ends_at = record.seconds_left * (1 - share) + MARGIN * share
    found = _measured(run, model, name, settings, steps, FLOOR_STEPS, lambda _: record.seconds_left < ends_at)
    values = row(found)
    values["least_words_in_a_step"] = min(found.num_words)
    values["is_window_full"] = len(found.num_words) > warm_up_steps(settings)
    values["cut_short"] = len(found.num_words) < steps
    record.note(name, values)


def _measured(
    run: Run,
    model: VideoLanguageModel,
    name: str,
    settings: StreamSettings,
    seconds: int,
    floor_steps: int,
    is_enough: Callable[[SpeedRun], bool],
) -> SpeedRun:
    named = NamedSettings(name, settings)
    plan = SpeedPlan(PICTURE, (named,), seconds, min(floor_steps, seconds), SpeedClock.WALL)
    events = measure(model, plan, named, opener=run.opener, is_enough=is_enough)
    *_, found = events
    assert isinstance(found, SpeedRun)
    return found


def _highest(run: Run, record: Record, model: VideoLanguageModel) -> None:
    """As ``--find-max-fps``, from 32 FPS on, until the part's time is nearly over."""
    trials: list[dict[str, Any]] = []
    known = record.values[f"{RATES[-1]:g} FPS"]["p50_step_seconds"]
    num_steps = warm_up_steps(run.settings()) + STEADY_STEPS
    if record.seconds_left < known * num_steps + MARGIN:
        record.note("highest FPS", "no time left to search it")
        return
    settings = run.settings(fps=8.0)
    for trial in find_max_fps(model, PICTURE, settings, opener=run.opener, first_pairs=FIRST_PAIRS):
        trials.append({"fps": trial.fps, "p95_step_seconds": trial.p95_step_seconds})
        trials[-1]["is_real_time"] = trial.is_real_time
        good = [each["fps"] for each in trials if each["is_real_time"]]
        bad = [each["fps"] for each in trials if not each["is_real_time"]]
        bounds = {"at_least": max(good, default=0.0), "below": min(bad, default=None)}
        record.note("highest FPS", {"trials": trials, **bounds})
        if record.seconds_left < 2 * trial.p95_step_seconds * num_steps + MARGIN or not run.is_cuda:
            return


def _last_cost(run: SpeedRun) -> float:
    """Seconds a token over the last five steps, as the paper counts; 0 where they say nothing yet."""
    words = sum(run.num_words[-5:])
    if len(run.num_words) < 5 or not words:
        return 0.0
    return float(step_totals(run, ("vision", "prefill", "decode"))[-5:].sum()) / words


def _course(run: SpeedRun) -> dict[str, Any]:
    """How the cost of a token goes on, every 20 s, and when it passes the paper's limit for good."""
    costs = step_totals(run, ("vision", "prefill", "decode")) / np.maximum(run.num_words, 1)
    above = np.flatnonzero(costs <= PAPER_LIMIT)
    passes = int(above[-1]) + 1 if len(above) else 0
    return {
        "seconds_per_token_every_20_s": [
            round(float(np.median(costs[k : k + 20])), 5) for k in range(0, len(costs), 20)
        ],
        "passes_0.1_s_per_token_at": passes if passes < len(costs) else None,
        "seconds_streamed": len(costs),
    }
