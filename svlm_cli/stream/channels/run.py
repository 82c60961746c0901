"""One stream as it runs: how it opens, its clips as they fall due, its events; another takes the steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from svlm_cli.cue_text import timestamp
from svlm_cli.errors import NothingThereError, SourceLostError, UsageError
from svlm_cli.media.source import Arriving, Source
from svlm_cli.model.prompt import unknown_words_text
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import OnLag, Pace, StreamSettings
from svlm_cli.stream.channels.opening import foreign, resumed, slow_format, start_event, unlike_training
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.pacing import PlayClock
from svlm_cli.stream.pipeline import JOIN_SECONDS, POLL_SECONDS, Pipeline, SourceEnded, begun_when_read
from svlm_cli.stream.repetition import Repetition
from svlm_cli.stream.session import Finished, StreamSession
from svlm_cli.stream.sight import SeenClip, SizedClip
from svlm_cli.stream.state import SavedState
from svlm_cli.stream.statistics import Statistics
from svlm_cli.stream.step.livecc import first_joined
from svlm_cli.stream.trace import TraceRecord
from svlm_cli.types import Clip, ClockKind, SourceTime, StreamEvent, WarningEvent
from svlm_cli.utc import utc_text

SKIP_TOLERANCE_SECONDS = 1e-3
MAX_REASON_LETTERS = 200


@dataclass(frozen=True, slots=True, eq=False)
class OpenedStream:
    """A session of a source, new or resumed, that has not begun.

    Args:
        session: its settings hold how the source's commentary opens.
        source: what ``open_source`` gave.
        controls: the controls of the stream.
        start_seconds: where it begins.
    """

    session: StreamSession
    source: Source
    controls: Controls
    start_seconds: float

    @classmethod
    def of(
        cls,
        model: VideoLanguageModel,
        source: Source,
        settings: StreamSettings,
        trace: Callable[[TraceRecord], None] | None,
        controls: Controls,
    ) -> OpenedStream:
        """Make the session and restore it where it goes on.

        Raises:
            StateError, UsageError: as ``stream_video``.
        """
        if settings.drop_static is not None and (controls.keeper or controls.resume):
            raise UsageError("--drop-static does not go with a saved state", "leave one of them out")
        if not settings.previous_text:
            settings = replace(settings, previous_text=source.opening_text(settings.start))
        session = StreamSession(model, settings, trace, feeder=controls.feeder)
        start_seconds = session.settings.start
        if controls.resume is not None:
            controls.resume.restore(session, is_plain=source.info.appearance.is_plain)
            start_seconds = controls.resume.position_seconds(source.is_live, settings.step_seconds)
        if controls.keeper is not None:
            controls.keeper.get_ready(session)
        return cls(session, source, controls, start_seconds)

    @property
    def text(self) -> str:
        """What is given to the model in words."""
        return f"{self.session.settings.opening_text} {self.session.settings.query}"

    def first_events(self) -> Generator[StreamEvent, None, None]:
        """A ``StartEvent``, and what is to be said of how it begins."""
        model, settings = self.session.model, self.session.settings
        yield start_event(model, self.source, settings, self.start_seconds)
        yield from foreign(model, self.source, self.controls.resume, self.start_seconds)
        yield from slow_format(model, self.controls.resume, self.start_seconds)
        yield from resumed(self.controls.resume, self.start_seconds, settings)
        yield from unlike_training(model, self.source.info, settings)

    def begin(self, *, sees: bool = True, notify: Callable[[], None] = lambda: None) -> StreamRun:
        """Begin to read; the clock runs from here.

        Args:
            sees: run the vision tower ahead; else whoever takes the clips does.
            notify: called in the reader's thread whenever it has read a clip, or the last.
        """
        return StreamRun(self, sees=sees, notify=notify)


class StreamRun:
    """One pass over a source.

    Args:
        opened: the stream, not begun before.
        sees, notify: as ``OpenedStream.begin`` has them.
    """

    def __init__(self, opened: OpenedStream, *, sees: bool, notify: Callable[[], None]) -> None:
        session, source = opened.session, opened.source
        start_seconds, controls = opened.start_seconds, opened.controls
        self._session = session
        self._source = source
        self._settings = settings = session.settings
        self._controls = controls
        self._clock = PlayClock(settings, start_seconds)
        self._reached = start_seconds if controls.resume is None else controls.resume.told_seconds
        self._start_seconds = start_seconds
        self._num_before = _steps_before(controls.resume)
        self._told: list[str] = []
        self._repetition = Repetition()
        self._lacking: set[str] = set()
        self._drops = settings.pace is Pace.REALTIME and settings.on_lag is OnLag.DROP
        self._left_out = False
        self._is_between_steps = True
        self.lost: SourceLostError | None = None
        self.statistics = Statistics(settings.step_seconds, max(self._reached, start_seconds))
        left = None if settings.duration is None else settings.start + settings.duration - start_seconds
        self._pipeline: Pipeline | None = None
        self._nothing_new = ""
        if left is None or left > 0:
            part = settings.fps, settings.step_seconds, start_seconds, left
            clips: Iterator[Clip] = begun_when_read(lambda: source.clips(*part, self._clock))
            if controls.resume is None:
                clips = first_joined(clips, settings)
            ahead = (1 if self._drops else 2) if controls.overlap else 0
            self._pipeline = Pipeline(
                clips,
                session.sight,
                session.look,
                self._clock,
                ahead,
                controls.watch,
                sees=sees,
                notify=notify,
            )

    def events(self) -> Generator[StreamEvent, None, None]:
        """Step after step, each as its time comes, until the source ends or is lost."""
        while self._pipeline is not None and not self._controls.stop.is_set():
            try:
                clip = self._pipeline.take()
            except SourceEnded:
                return
            except NothingThereError as error:
                return self._end_at_once(error)
            except SourceLostError as lost:
                self.lost = lost
                yield from self.warnings()
                yield self.warning(lost.message)
                return
            yield from self._new_warnings()
            if clip is not None and not self._is_stale(clip) and self._is_due(clip):
                yield from self._step(clip)

    def poll(self) -> tuple[SizedClip | None, list[StreamEvent]]:
        """The next clip once there is one that is not left out, not waited for, and what is to be told.

        Raises:
            SourceEnded: there are no more; ``lost`` says why where the source was lost.
            Exception: whatever else ended the source.
        """
        if self._pipeline is None:
            raise SourceEnded
        try:
            clip = self._pipeline.take_sized()
        except SourceLostError as lost:
            self.lost = lost
            raise SourceEnded from lost
        except NothingThereError as error:
            self._end_at_once(error)
            raise SourceEnded from error
        events: list[StreamEvent] = list(self._new_warnings())
        return (None if clip is None or self._is_stale(clip) else clip), events

    def early_seconds(self, clip: SeenClip | SizedClip) -> float:
        """Until a viewer has seen all of a clip; 0 or less once it is due."""
        return -self._clock.behind(clip.end_seconds)

    def _new_warnings(self) -> Generator[WarningEvent, None, None]:
        """A sentence may grow (a count) until the source ends: told when new, and in its last form."""
        if len(self._source.problems) > len(self._told):
            yield from self.warnings()

    def lacking(self, text: str) -> Generator[WarningEvent, None, None]:
        """A warning where words are outside the vocabulary, each told once."""
        unknown = [word for word in self._session.unknown_words(text) if word not in self._lacking]
        self._lacking.update(unknown)
        if unknown:
            yield self.warning(unknown_words_text(unknown))

    def warnings(self) -> Generator[WarningEvent, None, None]:
        """The problems not told yet in this form; one that has come again, in the same words, as well."""
        told, self._told = self._told, list(self._source.problems)
        new = (each for each, before in zip_longest(self._told, told[: len(self._told)]) if each != before)
        yield from (self.warning(message) for message in new)
        if nothing_new := self._nothing_new:
            self._nothing_new = ""
            yield self.warning(nothing_new)

    def last_words(self) -> Generator[WarningEvent, None, None]:
        """What is to be said when all is over."""
        if self._controls.keeper is not None and self._is_between_steps:
            keeper, questions = self._controls.keeper, self._controls.questions
            late = max(0.0, self._clock.behind(self._reached))
            failure = keeper.save(self._session, self._source.name, self._reached, questions, late)
            yield from self._failed(failure)
        if num_left := len(self._controls.questions):
            yield self.warning(f"the stream ended before {num_left} of the questions could be asked")

    def _end_at_once(self, error: NothingThereError) -> None:
        """A stream that goes on where its source has ended has seen it all, and no less than that.

        Raises:
            NothingThereError: it begins there, or the source ends long before.
        """
        end = error.end_seconds
        if self._controls.resume is None or (
            end is not None and self._reached - end > self._settings.step_seconds
        ):
            raise error if self._controls.resume is None else self._another(error)
        self._nothing_new = f"nothing new behind {timestamp(self._reached).removesuffix('.000')}"

    def _another(self, error: NothingThereError) -> NothingThereError:
        """A source that is much shorter than the one that was seen up to where the stream goes on."""
        told = f"{error.message}: this is another source than that of the saved state, or has become shorter"
        hint = "name the source of the saved state, or start afresh without --resume"
        return NothingThereError(told, hint, error.end_seconds)

    def leave(self) -> None:
        """Read no more; nobody is waited for."""
        self._clock.stop()
        if self._pipeline is not None:
            self._pipeline.leave()

    def close(self, patience_seconds: float = JOIN_SECONDS) -> None:
        """Let the source go; any number of times."""
        self._clock.stop()
        if self._pipeline is not None:
            self._pipeline.close(patience_seconds)

    def _is_stale(self, clip: SeenClip | SizedClip) -> bool:
        """Whether a clip that was prepared in time is to be left out by now; never two in a row.

        Under ``drop_static`` none is: what it showed is not shown again.
        """
        may_drop = self._drops and self._settings.drop_static is None
        is_late = may_drop and self._clock.next_start(clip.start_seconds) > clip.start_seconds
        self._left_out = is_late and not self._left_out
        return self._left_out

    def _is_due(self, clip: SeenClip) -> bool:
        """Wait until a viewer has seen all of a clip; False if the stream was stopped meanwhile."""
        while (early := -self._clock.behind(clip.end_seconds)) > 0:
            if self._controls.stop.wait(min(early, POLL_SECONDS)):
                return False
        return not self._controls.stop.is_set()

    def _step(self, clip: SeenClip) -> Generator[StreamEvent, None, None]:
        session, question = self._session, self.question(clip)
        asked = None
        if question:
            try:
                lacking = list(self.lacking(question))
                asked = session.step_asked(clip, question)
            except Exception as error:
                lacking = [self.not_asked(question, error)]
            yield from lacking
        yield from self.spoken(clip, asked or (None, session.step(clip)))

    def question(self, clip: SeenClip | SizedClip) -> str:
        """What is asked in the turn of a clip, empty for nothing; its step is begun."""
        self._is_between_steps = False
        return self._controls.questions.take(clip.end_seconds)

    def spoken(self, clip: SeenClip | SizedClip, finished: Finished) -> Generator[StreamEvent, None, None]:
        """The step of a clip is finished: its events, and its state where it is time to save."""
        answer, step = finished
        self._is_between_steps = True
        skipped = clip.start_seconds - self._reached
        self._reached = clip.end_seconds
        step = replace(
            step,
            index=step.index + self._num_before,
            lag_seconds=max(0.0, self._behind(clip.end_seconds)),
            skipped_seconds=skipped if skipped > SKIP_TOLERANCE_SECONDS else 0.0,
            **self._source_times(clip),
        )
        self.statistics.add(step)
        if answer is not None:
            number = self._controls.questions.taken_id
            yield replace(answer, index=step.index, lag_seconds=step.lag_seconds, id=number)
        yield step
        if stuck := self._repetition.add(step):
            yield self.warning(stuck)
        if (keeper := self._controls.keeper) is not None:
            kept = self._session, self._source.name, self._reached, self._controls.questions
            failure = keeper.save_if_due(*kept, step.lag_seconds)
            yield from self._failed(failure)

    def _behind(self, end_seconds: float) -> float:
        if isinstance(self._source, Arriving):
            return self._source.behind(end_seconds)
        return self._clock.behind(end_seconds)

    def _source_times(self, clip: SeenClip | SizedClip) -> dict[str, Any]:
        """When a clip was shown: by the source's own clock, else, at realtime pace, by this machine's."""
        found = clip.source_time or SourceTime()
        start, kind = found.utc_seconds, found.kind
        if start is None and self._settings.pace is Pace.REALTIME:
            start, kind = time.time() - self._clock.behind(clip.start_seconds), ClockKind.WALL
        times: dict[str, Any] = {"pts_seconds": found.pts_seconds}
        if start is not None:
            end = start + clip.end_seconds - clip.start_seconds
            times |= {"clock": kind, "start_utc": utc_text(start), "end_utc": utc_text(end)}
        return times

    def not_asked(self, question: str, error: Exception) -> WarningEvent:
        """No question may end the stream: its second is spoken about without it."""
        reason = " ".join(str(error).split())[:MAX_REASON_LETTERS] or type(error).__name__
        return self.warning(f'the question "{question}" could not be asked: {reason}')

    def _failed(self, failure: str) -> Generator[WarningEvent, None, None]:
        if failure:
            yield self.warning(failure)

    def warning(self, message: str) -> WarningEvent:
        """What is to be told, where the stream stands."""
        return WarningEvent(message, max(self._reached, self._start_seconds))


def _steps_before(resume: SavedState | None) -> int:
    """How many steps were told that the state gone on from does not know: no number comes twice."""
    if resume is None or resume.written is None:
        return 0
    return max(0, resume.written.index + 1 - int(resume.snapshot.plain["turn"]))
