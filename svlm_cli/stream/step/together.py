"""One step of several sessions: planned each by itself, fed together, finished each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svlm_cli.stream.session import Finished, StreamSession
from svlm_cli.stream.sight import SeenClip
from svlm_cli.stream.step.feeding import FeedPlan
from svlm_cli.stream.step.shared import Fed, SharedFeeder


@dataclass(frozen=True, slots=True, eq=False)
class DueStep:
    """What a session is to be shown and asked.

    Args:
        session: between two steps.
        clip: a clip that its sight has seen.
        question: what is asked in its turn, None for nothing.
    """

    session: StreamSession
    clip: SeenClip
    question: str | None = None


@dataclass(slots=True, eq=False)
class DoneStep:
    """How it went.

    Args:
        finished: the answer and the step; None where it failed, and then nothing of it is kept.
        error: what the step ran into.
        question_error: what the question ran into; the step was then taken as if it had not been asked.
    """

    finished: Finished | None = None
    error: Exception | None = None
    question_error: Exception | None = None


def step_together(due: Sequence[DueStep], feeder: SharedFeeder) -> list[DoneStep]:
    """Take a step with every session; whatever one of them runs into is its own.

    Args:
        due: steps of different sessions, all of the feeder's model.
        feeder: runs the model.
    """
    steps = [_Step(each) for each in due]
    for step in steps:
        step.begin(step.due.question)
    while left := [step for step in steps if step.plan is not None]:
        plans = [step.plan for step in left if step.plan is not None]
        for step, fed in zip(left, feeder.feed(plans), strict=True):
            step.go_on(fed)
    return [step.done for step in steps]


class _Step:
    """A step on its way: what it asks for next, or how it went."""

    def __init__(self, due: DueStep) -> None:
        self.due = due
        self.done = DoneStep()
        self.plan: FeedPlan | None = None

    def begin(self, question: str | None) -> None:
        try:
            self.plan = self.due.session.plan(self.due.clip, question)
        except Exception as error:
            self._failed(error, question)

    def go_on(self, fed: Fed) -> None:
        asked = self.due.question if self.done.question_error is None else None
        try:
            if isinstance(fed, Exception):
                raise fed
            self.plan = self.due.session.fed(fed)
            if self.plan is None:
                self.done.finished = self.due.session.finish()
        except Exception as error:
            self._failed(error, asked)

    def _failed(self, error: Exception, question: str | None) -> None:
        self.plan = None
        self.due.session.take_back()
        if question is None:
            self.done.error = error
        else:
            self.done.question_error = error
            self.begin(None)
