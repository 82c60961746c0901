"""LiveCC as it was trained (``model/family/livecc.py``): what a baseline must be shown to be a fair one.

Nothing is ever evicted from its prompt.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from svlm_cli.errors import UsageError
from svlm_cli.model.family.livecc import (
    MAX_NEW_TOKENS,
    MAX_PIXELS,
    check_livecc,
    chosen_format,
    steps_of_first_turn,
)
from svlm_cli.settings import Policy, PromptFormat, Sampling, StreamSettings
from svlm_cli.types import Clip

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel


def fitted(settings: StreamSettings, model: VideoLanguageModel) -> StreamSettings:
    """Settings whose prompt format is no longer open, with LiveCC's own where nothing else was asked for.

    Raises:
        UsageError: a policy that evicts from a prompt without "previous text", or a family that has none.
    """
    if settings.prompt_format is PromptFormat.AUTO:
        chosen = chosen_format(settings.prompt_format, model.name, model.prompt_format)
        settings = replace(settings, prompt_format=chosen)
    if settings.prompt_format is PromptFormat.SVLM:
        return settings
    check_livecc(model.patches)
    if settings.policy is Policy.RECOMPUTE:
        raise UsageError(
            "--policy recompute evicts, which LiveCC's prompt was not made for",
            "use --policy full or window, or --prompt-format svlm",
        )
    own = model.prompt_format is PromptFormat.LIVECC  # then its files say how large its frames were
    most = None if own else max(MAX_PIXELS, settings.min_pixels or 0)
    sampling = settings.sampling
    if sampling.max_new_tokens == Sampling().max_new_tokens:
        sampling = replace(sampling, max_new_tokens=MAX_NEW_TOKENS)
    return replace(
        settings,
        policy=policy_in(settings.prompt_format, settings.policy),
        max_pixels=settings.max_pixels or most,
        sampling=sampling,
    )


def policy_in(prompt_format: PromptFormat, policy: Policy) -> Policy:
    """What becomes of a policy: nothing is evicted from LiveCC's prompt."""
    is_full = prompt_format is PromptFormat.LIVECC and policy is Policy.STREAMING
    return Policy.FULL if is_full else policy


def first_joined(clips: Iterator[Clip], settings: StreamSettings) -> Iterator[Clip]:
    """The clips of a stream from its beginning, the first ones as one where the format wants that."""
    num = steps_of_first_turn(settings.prompt_format, settings.step_seconds)
    if num < 2:
        return clips
    return _joined(clips, num)


def _joined(clips: Iterator[Clip], num: int) -> Generator[Clip, None, None]:
    with closing(clips):  # type: ignore[type-var]
        first: list[Clip] = []
        for clip in clips:
            if first and clip.frames.shape != first[0].frames.shape:
                yield _one(first)
                yield clip
                break
            first.append(clip)
            if len(first) == num:
                yield _one(first)
                break
        else:
            if first:
                yield _one(first)
        yield from clips


def _one(clips: list[Clip]) -> Clip:
    return replace(
        clips[0],
        end_seconds=clips[-1].end_seconds,
        frames=np.concatenate([clip.frames for clip in clips]),
        read_seconds=sum(clip.read_seconds for clip in clips),
    )
