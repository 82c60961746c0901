"""The first turn of LiveCC's prompt, which shows several seconds at once, of the seconds of a chunk."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from svlm_cli.data.samples.sample import Features, Turn
from svlm_cli.model.patches import Patches


def joined_turns(turns: Sequence[Turn], num: int) -> list[Turn]:
    """The same turns, the first ``num`` as one, as far as their frames are alike."""
    first: list[Turn] = []
    for turn in turns[:num]:
        if first and _shape(turn) != _shape(first[0]):
            break
        first.append(turn)
    if len(first) < 2:
        return list(turns)
    one = Turn(
        first[0].start_seconds,
        first[-1].end_seconds,
        " ".join(turn.line for turn in first if turn.line),
        _joined([turn.frames for turn in first if turn.frames is not None]),
        question=" ".join(turn.question for turn in first if turn.question),
        reply=" ".join(turn.reply for turn in first if turn.reply),
    )
    return [one, *turns[len(first) :]]


def _shape(turn: Turn) -> tuple[object, ...]:
    return () if turn.frames is None else (type(turn.frames), *turn.frames.grid_thw)


def _joined(clips: Sequence[Patches | Features]) -> Patches | Features | None:
    """Clips of one shape, end to end."""
    patches = [clip for clip in clips if isinstance(clip, Patches)]
    features = [clip for clip in clips if isinstance(clip, Features)]
    if not clips:
        return None
    grid = (sum(clip.grid_thw[0] for clip in clips), *clips[0].grid_thw[1:])
    if patches:
        return Patches(torch.cat([clip.pixel_values for clip in patches]), grid)
    deep = [clip.deep for clip in features if clip.deep is not None]
    values = torch.cat([clip.values for clip in features])
    return Features(values, grid, torch.cat(deep, dim=1) if deep else None)
