"""Positions over the kept tokens: contiguous, by arithmetic; those of M-RoPE are fractional in time.

Shape legend: n = tokens; rows = (time, height, width). All positions are float64 on the host; they
become float32 only when they reach the model. A ``stride`` of None is a family's whose tokens of frames
follow each other like words: its three rows are equal.

Source: StreamingVLM (arXiv 2510.09608, contiguous RoPE) over Qwen2.5-VL's M-RoPE
(arXiv 2502.13923, section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np

from svlm_cli.model.window import Span


def time_stride(fps: float, temporal_patch_size: int, tokens_per_second: float | None) -> float:
    """Positions between two temporal patches of a video block.

    Args:
        fps: frames per second shown to the model.
        temporal_patch_size: frames per temporal patch.
        tokens_per_second: the checkpoint's own figure, or None where the family has none
            (Qwen2-VL), whose time row counts patches.
    """
    return 1.0 if tokens_per_second is None else temporal_patch_size / fps * tokens_per_second


def extent(span: Span, stride: float | None) -> float:
    """How far the next span starts behind this one: largest value used in any row, plus 1."""
    if span.grid is None or stride is None:
        return float(span.num_tokens)
    time, height, width = span.grid
    return max((time - 1) * stride, height - 1.0, width - 1.0) + 1.0


def span_starts(spans: Sequence[Span], stride: float | None) -> list[float]:
    """Where each span starts when positions are counted from 0 over ``spans``, and the end."""
    extents = [float(span.num_tokens) if span.grid is None else extent(span, stride) for span in spans]
    return list(accumulate(extents, initial=0.0))


def time_row(spans: Sequence[Span], stride: float | None) -> np.ndarray:
    """The first of ``rows``, from 0: float64, shape (n,)."""
    if not spans:
        return np.zeros(0)
    starts = np.repeat(span_starts(spans, stride)[:-1], [span.num_tokens for span in spans])
    offsets = [_offsets(span.num_tokens, span.grid, span.places, stride)[0] for span in spans]
    times: np.ndarray = np.concatenate(offsets) + starts
    return times


def rows(spans: Sequence[Span], stride: float | None, start: float = 0.0) -> np.ndarray:
    """Position rows of ``spans`` laid end to end from ``start``.

    Returns:
        float64, shape (3, n).
    """
    if not spans:
        return np.zeros((3, 0))
    starts = np.repeat(span_starts(spans, stride)[:-1], [span.num_tokens for span in spans])
    offsets = [_offsets(span.num_tokens, span.grid, span.places, stride) for span in spans]
    return np.concatenate(offsets, axis=1) + (starts + start)


@lru_cache(maxsize=256)
def _offsets(
    num_tokens: int, grid: tuple[int, int, int] | None, places: tuple[int, ...] | None, stride: float | None
) -> np.ndarray:
    """Rows of one span relative to its start: float64, shape (3, num_tokens), read-only."""
    if grid is None or stride is None:
        offsets = np.tile(np.arange(num_tokens, dtype=np.float64), (3, 1))
    else:
        offsets = np.indices(grid, dtype=np.float64).reshape(3, -1)
        offsets[0] *= stride
        if places is not None:
            offsets = offsets[:, list(places)]
    offsets.setflags(write=False)
    return offsets
