"""One match streamed: what was said in each second, and how fast."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from svlm_cli import __version__
from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.asking.match import MatchQuestion
from svlm_cli.bench.arena.answers import AnswerOutcome, questions_of
from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.frames import altered
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.digest import digest
from svlm_cli.errors import SvlmError
from svlm_cli.types import AnswerEvent, EndEvent, StepEvent
from svlm_cli.work.jobs import UNHEARD, Signals

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.settings import StreamSettings
    from svlm_cli.stream.questions import Questions
    from svlm_cli.stream.step.feeding import Feeder

NUM_WAITING = 32


@dataclass(frozen=True, slots=True)
class MatchJob:
    """A match to stream.

    Args:
        run: how.
        seed: which match.
        num_seconds: its length in seconds.
        key: the key of its result, from ``result_key``.
    """

    run: ArenaRun
    seed: int
    num_seconds: int
    key: str


@dataclass(frozen=True, slots=True)
class MatchResult:
    """A whole match.

    Args:
        job: what was streamed.
        said: the words of every second.
        wall_seconds: the wall time of all of it, drawing included.
        realtime_factor: stream seconds per wall second.
        p50_step_seconds, p95_step_seconds, p99_step_seconds: of the steps' wall time.
        answers: what became of the questions; none where none were asked.
    """

    job: MatchJob
    said: tuple[str, ...]
    wall_seconds: float
    realtime_factor: float
    p50_step_seconds: float
    p95_step_seconds: float
    p99_step_seconds: float
    answers: tuple[AnswerOutcome, ...] = ()

    def __post_init__(self) -> None:
        if len(self.said) != self.job.num_seconds:
            raise ValueError(f"{len(self.said)} lines said in {self.job.num_seconds} seconds")


def result_key(run: ArenaRun, facts: ModelFacts, num_seconds: int) -> str:
    """The fingerprint of everything that can change a match's words besides its seed.

    The names of run and model are not in it: the same settings and weights under another name are the
    same result.
    """
    content = {
        "version": __version__,
        "model": facts.fingerprint,
        "device": facts.device,
        "dtype": facts.dtype,
        "num_seconds": num_seconds,
        **run.identity(),
    }
    return digest(content)


def play(
    model: VideoLanguageModel, job: MatchJob, signals: Signals = UNHEARD, feeder: Feeder | None = None
) -> Generator[WorkProgress | MatchResult, None, None]:
    """Stream a match, told its opening text and nothing else of the truth, asked where the run says so.

    Args:
        signals: say when to stop.
        feeder: shared with other matches; None for one alone.

    Yields:
        ``WorkProgress`` for every turn, then the result.
    """
    from svlm_cli.arena.source import ArenaSource
    from svlm_cli.bench.arena.kept import KeptTokens, answer_outcomes
    from svlm_cli.stream.controls import Controls
    from svlm_cli.stream.loop import stream_video

    said: list[str] = []
    replies: dict[int, str] = {}
    questions = questions_of(job.seed, job.num_seconds) if job.run.is_asked else ()
    with ArenaSource(ArenaAddress(seed=job.seed, minutes=job.num_seconds / 60)) as source:
        settings = _settings(model, job.run, source.opening_text())
        shown = altered(source, job.run.frames, job.seed)
        controls = Controls(overlap=feeder is None, feeder=feeder)
        asker = _Asker(questions, controls.questions)
        with closing(stream_video(model, shown, settings, controls=controls)) as events:
            for event in events:
                if isinstance(event, StepEvent):
                    seconds = round(event.end_seconds) - len(said)  # LiveCC's first turn shows several
                    said += [""] * (seconds - 1) + [event.text]
                    if signals.should_stop():
                        raise SvlmError("stopped", "run the same command again")
                    yield WorkProgress(seconds)
                elif isinstance(event, AnswerEvent):
                    replies[questions[len(replies)].second] = event.text  # they are answered in their order
                    asker.ask_next()
                elif isinstance(event, EndEvent):
                    answers: tuple[AnswerOutcome, ...] = ()
                    if questions:
                        kept = KeptTokens(model.tokenizer, model.markup, settings)
                        answers = answer_outcomes(kept, questions, said, replies)
                    yield MatchResult(
                        job=job,
                        said=tuple(said),
                        wall_seconds=event.wall_seconds,
                        realtime_factor=event.realtime_factor,
                        p50_step_seconds=event.p50_step_seconds,
                        p95_step_seconds=event.p95_step_seconds,
                        p99_step_seconds=event.p99_step_seconds,
                        answers=answers,
                    )


class _Asker:
    """Puts the questions of a match in good time: a stream lets only so many wait."""

    def __init__(self, questions: Sequence[MatchQuestion], queue: Questions) -> None:
        self._left = iter(questions)
        self._queue = queue
        for _ in range(NUM_WAITING):
            self.ask_next()

    def ask_next(self) -> None:
        """One more, if there is one."""
        for question in islice(self._left, 1):
            self._queue.ask(question.asked.text, question.second)


def _settings(model: VideoLanguageModel, run: ArenaRun, opening: str) -> StreamSettings:
    from svlm_cli.stream.step.livecc import fitted

    settings = fitted(replace(run.settings, previous_text=opening), model)
    if not run.sink_is_opening:
        return settings
    from svlm_cli.model.prompt import PromptWriter

    return replace(settings, sink=len(PromptWriter(model.tokenizer, model.markup).encode(opening)))
