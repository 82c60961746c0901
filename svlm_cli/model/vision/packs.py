"""What goes through the vision tower in one call.

A temporal patch (two frames) sees itself alone, so a clip may be cut between any two. On the CPU a call takes
as many as leave what lies between two layers near the processor; a GPU takes all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from svlm_cli.model.patches import Patches

MOST_PATCHES = 1536  # of a call on the CPU, unless one temporal patch has more


def packs_of(clips: Sequence[Patches], device: torch.device) -> list[list[Patches]]:
    """The clips in order, cut between temporal patches where it pays, in calls."""
    if device.type != "cpu":
        return [list(clips)]
    packs: list[list[Patches]] = []
    room = 0
    for piece in (piece for clip in clips for piece in _pieces(clip)):
        size = len(piece.pixel_values)
        if size > room:
            packs.append([])
            room = max(MOST_PATCHES, size)
        packs[-1].append(piece)
        room -= size
    return packs


def _pieces(clip: Patches) -> Iterator[Patches]:
    time, height, width = clip.grid_thw
    per_piece = max(1, MOST_PATCHES // (height * width))
    for first in range(0, time, per_piece):
        count = min(per_piece, time - first)
        rows = slice(first * height * width, (first + count) * height * width)
        yield Patches(clip.pixel_values[rows], (count, height, width))
