"""Part a: a small checkpoint says and keeps the same on the device as on the CPU.

Where the device is the CPU itself, float64 weights take the place of the device's, and words in fixed shapes
that of graphs: other kernels, so that what is compared can differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from svlm_cli import Sampling, StreamSession, StreamSettings, TraceRecord, load_model
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import DeepFeatures
from svlm_cli.stream.questions import Questions
from svlm_cli.stream.sources import open_source
from svlm_cli.stream.state import StateKeeper, load_state

from .record import Record
from .scale import Noise, Run, fixed, round_alike

TOLERANCE = 1e-3
STEPS, SAVED_AFTER = 8, 4
SETTINGS = StreamSettings(
    vision_window=2, rounds=3, sink=8, text_window=8, sampling=Sampling(greedy=True, max_new_tokens=6)
)
MATCH = "arena:soccer,seed=3,minutes=10"
MATCH_SECONDS = 20
MATCH_SETTINGS = StreamSettings(
    vision_window=4, rounds=4, sink=24, text_window=24, sampling=Sampling(greedy=True)
)


@dataclass(frozen=True, slots=True, eq=False)
class Recording(VideoLanguageModel):
    """A model that keeps the logits of its forwards."""

    logits: list[torch.Tensor] = field(default_factory=list)

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: np.ndarray,
        cache: StreamingCache,
        deep: DeepFeatures | None = None,
    ) -> torch.Tensor:
        """As ``VideoLanguageModel``."""
        logits = VideoLanguageModel.forward(self, embeddings, positions, cache, deep)
        self.logits.append(logits.double().cpu())
        return logits


@dataclass(frozen=True, slots=True)
class Told:
    """What a short stream came to: the trace, the first turn's logits, the keys that are left."""

    trace: list[TraceRecord]
    logits: torch.Tensor
    keys: torch.Tensor

    @property
    def words(self) -> list[list[int]]:
        """Ids by step."""
        return [record.generated_ids for record in self.trace]


def part(run: Run, record: Record) -> None:
    """Every check, each with what was found."""
    round_alike()
    folder = run.folder / "small"
    build_random_checkpoint(folder, vocabulary=str(run.folder / "tokenizer"), spread=3.0)
    reference = load_model(str(folder), device="cpu", dtype="float32")
    other = _on_device(run, folder, reference, torch.float32 if run.is_cuda else torch.float64)
    record.note("compared", f"{run.device} {'float32' if run.is_cuda else 'float64'} with cpu float32")
    expected, found = tell(reference), tell(other)
    _compare(record, expected, found)
    _graphs(record, _on_device(run, folder, reference, torch.float32))
    _half(record, _on_device(run, folder, reference, torch.bfloat16), expected)
    _states(record, run, reference, folder)
    _match(record, run)


def _on_device(
    run: Run, folder: Path, reference: VideoLanguageModel, dtype: torch.dtype
) -> VideoLanguageModel:
    """The checkpoint where it is to be checked: loaded there, or on the CPU a copy of what is there."""
    if run.is_cuda:
        name = str(dtype).removeprefix("torch.")
        return load_model(str(folder), device=run.device, dtype=name, graphs="off")
    return replace(reference, network=copy.deepcopy(reference.network).to(dtype), vision_plans={})


def tell(model: VideoLanguageModel) -> Told:
    """Stream a few seconds, through evictions."""
    watched = Recording(**{each.name: getattr(model, each.name) for each in fields(VideoLanguageModel)})
    trace: list[TraceRecord] = []
    session = StreamSession(watched, SETTINGS, trace.append)
    for clip in _clips():
        session.step(clip)
    layers = range(len(session.cache.layers))
    keys = torch.stack([session.cache.held(layer)[0].double().cpu() for layer in layers])
    return Told(trace, watched.logits[0], keys)


def _clips() -> list[Any]:
    source = Noise(112, 84).clips(SETTINGS.fps, SETTINGS.step_seconds)
    return [next(source) for _ in range(STEPS)]


def _compare(record: Record, expected: Told, found: Told) -> None:
    pairs = list(zip(expected.trace, found.trace, strict=True))
    said = "of every step, through evictions"
    ids = all(a.context_ids == b.context_ids and a.num_cached == b.num_cached for a, b in pairs)
    record.check("ids", ids, said)
    record.check("positions", all(a.position_ids == b.position_ids for a, b in pairs), said)
    record.check("greedy words", expected.words == found.words, f"{sum(map(len, expected.words))} ids")
    _near(record, "first-turn logits", expected.logits, found.logits)
    _near(record, "keys after evictions", expected.keys, found.keys)


def _near(record: Record, name: str, expected: torch.Tensor, found: torch.Tensor) -> None:
    if expected.shape != found.shape:
        record.check(name, False, f"of shape {tuple(found.shape)}, not {tuple(expected.shape)}")
        return
    furthest = float((expected - found).abs().max())
    record.check(
        name, furthest < TOLERANCE, f"differ by {furthest:.1e} at most, of {expected.abs().max():.3g}"
    )


def _graphs(record: Record, model: VideoLanguageModel) -> None:
    """Words fed plainly, in fixed shapes, and (on CUDA) those replayed."""
    plain, in_shapes = tell(model), tell(fixed(model))
    how = "replayed as graphs" if model.device.type == "cuda" else "in fixed shapes"
    record.check("graphs on = off", plain.words == in_shapes.words, f"words {how}, float32")


def _half(record: Record, model: VideoLanguageModel, expected: Told) -> None:
    found = tell(model)
    difference = float((expected.logits - found.logits).abs().max())
    same = sum(a == b for a, b in zip(expected.words, found.words, strict=True))
    record.note(
        "bfloat16 against float32",
        {"logits_differ_by": difference, "of": float(expected.logits.abs().max()), "steps_said_alike": same},
    )


def _states(record: Record, run: Run, reference: VideoLanguageModel, folder: Path) -> None:
    """Saved on one, resumed on the other: the drawn words of a stream that was not stopped."""
    other = load_model(str(folder), device=run.device, dtype="float32") if run.is_cuda else fixed(reference)
    whole = _stretch(reference, lambda _: None, 0, STEPS)
    for name, first, second in (
        ("saved on the device, resumed on the CPU", other, reference),
        ("saved on the CPU, resumed on the device", reference, other),
    ):
        keeper = StateKeeper(run.folder / "state.safetensors")
        before: list[StreamSession] = []
        said = _stretch(first, before.append, 0, SAVED_AFTER)
        problem = keeper.save(before[0], "noise", float(SAVED_AFTER), Questions())
        saved = load_state(keeper.path)
        said += _stretch(second, saved.restore, SAVED_AFTER, STEPS)
        record.check(name, said == whole and not problem, problem or f"{len(whole)} steps, word for word")


def _stretch(
    model: VideoLanguageModel, ready: Callable[[StreamSession], object], first: int, last: int
) -> list[str]:
    session = StreamSession(model, replace(SETTINGS, sampling=Sampling(max_new_tokens=6, seed=1)))
    ready(session)
    return [session.step(clip).text for clip in _clips()[first:last]]


def _match(record: Record, run: Run) -> None:
    """The bundled model, whose words mean something."""
    said = {}
    ways = {"cpu": load_model(device="cpu", dtype="float32")}
    plain = load_model(device=run.device, dtype="float32", graphs="off") if run.is_cuda else ways["cpu"]
    ways |= {"plain": plain, "fixed": fixed(plain)}
    with open_source(MATCH) as source:
        clips = list(source.clips(2.0, 1.0, 0.0, float(MATCH_SECONDS)))
    for name, model in ways.items():
        session = StreamSession(model, MATCH_SETTINGS)
        said[name] = [session.step(clip).text for clip in clips]
    alike = all(words == said["cpu"] for words in said.values())
    record.check("the bundled model's words", alike, f"{MATCH_SECONDS} s of a match, {run.device} and cpu")
