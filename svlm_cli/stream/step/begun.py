"""A step on its way, as the session keeps it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import torch

from svlm_cli.model.prompt import Answer
from svlm_cli.model.states.mark import CacheMark
from svlm_cli.stream.context import Mark
from svlm_cli.stream.sight import SeenClip
from svlm_cli.stream.step.feeding import FeedPlan
from svlm_cli.stream.trace import Stopwatch
from svlm_cli.types import AnswerEvent, StepEvent, StepTimings

Asking = Generator[FeedPlan, torch.Tensor, list[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """Where a session stood.

    Args:
        layout: the layout of its context.
        states: the states of its cache.
        random: state of its sampler.
    """

    layout: Mark
    states: CacheMark
    random: torch.Tensor


@dataclass(slots=True, eq=False)
class BegunStep:
    """A step between its plan and its finish.

    Args:
        clip: what is shown.
        question: what is asked in its turn, None for nothing.
        watch: its times so far.
        before: what it goes back to where it fails.
        asking: asks for all that it feeds, one after another, and returns what was drawn.
        drawn: once all is said.
    """

    clip: SeenClip
    question: str | None
    watch: Stopwatch
    before: Before
    asking: Asking = field(init=False)
    drawn: list[int] = field(default_factory=list)

    def answer_event(self, index: int, answer: Answer) -> AnswerEvent | None:
        """The answer to its question, if there was one."""
        if self.question is None:
            return None
        when = index, self.clip.start_seconds, self.clip.end_seconds
        return AnswerEvent(*when, self.question, answer.reply, answer.num_reply_tokens)

    def step_event(
        self, index: int, answer: Answer, num_cached: int, num_vision: int, num_sink: int
    ) -> StepEvent:
        """What is told of it; the numbers are of tokens kept."""
        clip = self.clip
        laps = {"read": clip.read_seconds, "vision": clip.vision_seconds, **self.watch.laps}
        return StepEvent(
            index=index,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            text=answer.text,
            num_frames=clip.num_frames,
            num_new_tokens=len(self.drawn),
            num_cached_tokens=num_cached,
            num_vision_tokens=num_vision,
            num_sink_tokens=num_sink,
            timings=StepTimings(**laps, total=sum(laps.values())),
        )
