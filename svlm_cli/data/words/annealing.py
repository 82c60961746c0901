"""Stretches of a video that may serve the annealing stage (StreamingVLM, arXiv 2510.09608, section 3.3)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from svlm_cli.data.words.transcript import DenseClip, TimedWord

SHORTEST_SECONDS, LONGEST_SECONDS = 16, 64
LONGEST_SILENCE_SECONDS = 3.0
LEAST_WORDS_PER_SECOND = 2.0
LEAST_LIVE_SHARE = 0.8


def dense_clips(words: Sequence[TimedWord]) -> tuple[DenseClip, ...]:
    """Clips of 16 to 64 whole seconds, apart from each other, that speak on.

    No silence within one is longer than 3 s, and at least 2 words end in it a second. A longer stretch is
    cut into equal parts.

    Args:
        words: the words in order, none ending before the one before it.
    """
    clips = (clip for run in _runs(words) for clip in _cut(run))
    return tuple(clip for clip in clips if clip.num_words >= LEAST_WORDS_PER_SECOND * _length(clip))


def _length(clip: DenseClip) -> int:
    return clip.end_seconds - clip.start_seconds


def _runs(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    """Words between two long silences."""
    run: list[TimedWord] = []
    for word in words:
        if run and word.start_seconds - run[-1].end_seconds > LONGEST_SILENCE_SECONDS:
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _cut(run: Sequence[TimedWord]) -> Iterator[DenseClip]:
    start, end = math.floor(run[0].start_seconds), run[-1].second + 1
    if end <= start:  # words without length
        return
    num_parts = math.ceil((end - start) / LONGEST_SECONDS)
    seconds = [word.second for word in run]
    borders = [start + (end - start) * part // num_parts for part in range(num_parts + 1)]
    for first, last in pairwise(borders):
        if last - first < SHORTEST_SECONDS:
            continue
        inside = run[bisect_left(seconds, first) : bisect_left(seconds, last)]
        yield DenseClip(first, last, len(inside), round(_longest_silence(inside, first, last), 3))


def _longest_silence(words: Sequence[TimedWord], start: float, end: float) -> float:
    """Between words, and between them and the ends of the clip."""
    begins = [*(word.start_seconds for word in words), end]
    ends = [start, *(word.end_seconds for word in words)]
    return max(max(begin - stop, 0.0) for begin, stop in zip(begins, ends, strict=True))
