"""Part f: several streams in one forward, against the table of docs/channels.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
import torch

from svlm_cli import load_model
from svlm_cli.bench.speed.measure import warm_up_steps
from svlm_cli.bench.speed.streams import Alone, HeldClips, TimedStreams, Together
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import StreamSettings

from .record import Record
from .same import MATCH, MATCH_SECONDS, MATCH_SETTINGS
from .scale import Run, fixed, round_alike

COUNTS = (1, 4, 16, 32, 64)  # on a CPU the first three
RATES = (2.0, 8.0)
WINDOW = 4.0  # seconds; its cache is full after few rounds
COMPARED_STREAMS = 4
STEADY_STEPS = 8
MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Channels:
    """So many streams at once, behind the warm-up; a round is one second of each.

    Args:
        channels: how many streams.
        rounds: the number of rounds that were measured.
        round_p50_seconds, round_p95_seconds: wall time of a round.
        words_per_step: of each stream.
        bytes_per_channel: memory of the device beyond the weights, at its peak; 0 on a CPU.
        is_real_time: whether 95 % of the rounds took less than their second.
    """

    channels: int
    rounds: int
    round_p50_seconds: float
    round_p95_seconds: float
    words_per_step: float
    bytes_per_channel: int
    is_real_time: bool


def part(run: Run, record: Record) -> None:
    """The same words together as alone, in float32; the middle model at two rates, more and more streams."""
    _same(run, record)
    model = fixed(run.model(run.scale.middle))
    ends = record.seconds_left / len(RATES)
    for number, fps in enumerate(RATES):
        settings = run.settings(fps=fps, vision_window=WINDOW, rounds=4)
        _more_and_more(run, record, model, settings, (len(RATES) - 1 - number) * ends + MARGIN)


def _same(run: Run, record: Record) -> None:
    for graphs in ("off", "auto") if run.is_cuda else ("off",):
        alone, together = said_in_both_ways(run.device, graphs)
        about = f"{COMPARED_STREAMS} streams, {MATCH_SECONDS} s of a match, float32, graphs {graphs}"
        record.check("words together = alone", alone == together and any(map(any, alone)), about)


def said_in_both_ways(device: str, graphs: str) -> tuple[list[list[str]], list[list[str]]]:
    """What streams say alone and together, by the bundled model, whose words mean something."""
    round_alike()
    model = load_model(device=device, dtype="float32", graphs=graphs)
    shown = HeldClips.read(MATCH, MATCH_SETTINGS, MATCH_SECONDS)
    alone, together = (
        _said(kind(model, MATCH_SETTINGS, shown, COMPARED_STREAMS)) for kind in (Alone, Together)
    )
    return alone, together


def _said(streams: TimedStreams) -> list[list[str]]:
    return [[said.text for said in streams.step()] for _ in range(MATCH_SECONDS)]


def _more_and_more(
    run: Run, record: Record, model: VideoLanguageModel, settings: StreamSettings, ends_at: float
) -> None:
    """Until a second of all takes longer than a second, or only ``ends_at`` seconds of the part are left."""
    num_steps = min(run.seconds, warm_up_steps(settings) + STEADY_STEPS)
    shown = _shown(run, settings, num_steps)
    for count in COUNTS if run.is_cuda else COUNTS[:3]:
        name = f"{run.scale.middle}, {settings.fps:g} FPS, window {WINDOW:g} s, {count} channels"
        found = _measured(model, settings, shown, count, num_steps, record, ends_at)
        if found is None:
            record.note(name, "no time left")
            return
        record.note(name, asdict(found))
        if not found.is_real_time and run.is_cuda:
            return


def _measured(
    model: VideoLanguageModel,
    settings: StreamSettings,
    shown: HeldClips,
    count: int,
    num_steps: int,
    record: Record,
    ends_at: float,
) -> Channels | None:
    """None where the window is not full when the time is over."""
    is_cuda = model.device.type == "cuda"
    if is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(model.device)
        before = torch.cuda.memory_allocated(model.device)
    streams = Together(model, settings, shown, count)
    full = min(warm_up_steps(settings), num_steps - 1)
    for number in range(num_steps):
        if number == full:
            streams.forget()
        streams.step()
        if record.seconds_left < ends_at:
            break
    if number < full:
        return None
    p50, p95 = np.percentile(streams.wall_seconds, [50, 95])
    held = torch.cuda.max_memory_allocated(model.device) - before if is_cuda else 0
    return Channels(
        channels=count,
        rounds=len(streams.wall_seconds),
        round_p50_seconds=float(p50),
        round_p95_seconds=float(p95),
        words_per_step=streams.words_per_step,
        bytes_per_channel=held // count,
        is_real_time=bool(p95 < settings.step_seconds),
    )


def _shown(run: Run, settings: StreamSettings, num_steps: int) -> HeldClips:
    with run.opener("") as source:
        clips = list(islice(source.clips(settings.fps, settings.step_seconds), num_steps))
    return HeldClips(clips, "", 0.0)
