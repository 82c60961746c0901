"""Questions about a video at given times: the three ways to show it, by a model of our own.

*streamed*: the video is watched once, second by second, and every question is asked aside in the last step
that has ended by its time. *whole*: frames spread over all that may be seen, in one prompt. *recent*: the
last few frames before the question, in one prompt, as if the past did not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from svlm_cli.bench.common.settings import memory_identity, sampling_identity
from svlm_cli.errors import SourceError
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.settings import StreamSettings
from svlm_cli.types import Clip

if TYPE_CHECKING:
    from svlm_cli.media.file.reader import VideoReader
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.model.vision.frames import VideoFeatures
    from svlm_cli.stream.probe import ProbedSession
    from svlm_cli.stream.sight import SeenClip
    from svlm_cli.stream.step.feeding import Feeder

LEAD = "The answer is:\n"
CANDIDATES = ("No", "Yes", *"0123456789", *"ABCDE")
TIME_TOLERANCE_SECONDS = 1e-6


class Showing(StrEnum):
    """How a video is shown."""

    STREAMED = "streamed"
    WHOLE = "whole"
    RECENT = "recent"


@dataclass(frozen=True, slots=True)
class Way:
    """How a video is shown, with its numbers.

    Args:
        showing: which of the three.
        settings: the settings of the stream; of the others its pixel limits and ``fps`` count.
        num_frames: at most, of *whole* (with at most ``settings.fps`` of them a second) and of *recent*
            (one a second).
        speaks: streamed only: every second gets its words, as in ``svlm stream``; else it passes in silence.
    """

    showing: Showing
    settings: StreamSettings
    num_frames: int = 64
    speaks: bool = False

    @property
    def name(self) -> str:
        """As tables show it."""
        if self.showing is Showing.STREAMED:
            return "streamed, speaking" if self.speaks else "streamed in silence"
        return f"recent {self.num_frames} frames" if self.showing is Showing.RECENT else "whole video at once"

    @property
    def frames(self) -> str:
        """Frames as tables show them."""
        if self.showing is Showing.RECENT:
            return f"{self.num_frames} at 1 FPS"
        if self.showing is Showing.WHOLE:
            return f"up to {self.num_frames} at up to {self.settings.fps:g} FPS"
        return f"{self.settings.fps:g} FPS"

    def identity(self) -> dict[str, object]:
        """Everything that can change an answer: plain values for JSON."""
        own = self.settings
        known: dict[str, object] = {
            "showing": self.showing.value,
            "min_pixels": own.min_pixels,
            "max_pixels": own.max_pixels,
        }
        known |= own.viewing.changes
        if self.showing is not Showing.RECENT:
            known["fps"] = own.fps
        if self.showing is not Showing.STREAMED:
            return known | {"num_frames": self.num_frames}
        return known | {
            "speaks": self.speaks,
            **memory_identity(own),
            "step_seconds": own.step_seconds,
            "query": own.query,
            "sampling": [*sampling_identity(own.sampling).values()] if self.speaks else None,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a video, and when.

    Args:
        key: the key of the answer.
        shown_from: seconds; nothing before may be seen.
        at_seconds: nothing after may be seen; infinity for the end of the video.
        prompt: what is asked.
        candidates: the possible answers where the best by its logit is taken; empty for a free reply.
    """

    key: str
    shown_from: float
    at_seconds: float
    prompt: str
    candidates: tuple[str, ...] = ()


def frame_times(way: Way, start_seconds: float, end_seconds: float) -> list[float]:
    """When the frames of *whole* and *recent* are on screen, ascending."""
    if way.showing is Showing.RECENT:
        return [max(start_seconds, end_seconds - back) for back in range(way.num_frames - 1, -1, -1)]
    length = end_seconds - start_seconds
    num = max(2, min(way.num_frames, int(length * way.settings.fps)))
    return [float(time) for time in np.linspace(start_seconds, end_seconds, num - num % 2)]


def question_times(way: Way, question: Question, video: VideoReader) -> list[float]:
    """``frame_times`` of a question about a video.

    Raises:
        SourceError: it is asked at the end of a video that does not say how long it is.
    """
    end = min(question.at_seconds, video.length_seconds or question.at_seconds)
    if end == float("inf"):
        raise SourceError(
            f"{video.name} does not say how long it is", "remux it: ffmpeg -i IN -c copy OUT.mp4"
        )
    return frame_times(way, question.shown_from, max(end, question.shown_from))


def frames_per_second(way: Way, times: Sequence[float]) -> float:
    """What the frames of a prompt stand for, for their positions."""
    length = times[-1] - times[0]
    if way.showing is Showing.RECENT or length <= 0:
        return 1.0
    return (len(times) - 1) / length


class ModelAsker:
    """Asks a model of our own.

    Args:
        model: a loaded checkpoint.
        way: how it is shown the video.
        max_new_tokens: most tokens of a free reply.
        feeder: computes what is asked for, with others; None for one alone.
    """

    def __init__(
        self, model: VideoLanguageModel, way: Way, max_new_tokens: int, feeder: Feeder | None = None
    ) -> None:
        from svlm_cli.bench.questions.plain import PlainPrompt

        self._model = model
        self._way = way
        self._max_new_tokens = max_new_tokens
        self._plain = PlainPrompt(model, way.settings, feeder)
        self._feeder = feeder

    def answers(self, path: Path, questions: Sequence[Question]) -> Iterator[tuple[Question, str]]:
        """Answer all questions about one video, in order of time.

        Raises:
            SourceError: the video cannot be read.
        """
        if self._way.showing is not Showing.STREAMED:
            yield from self._from_frames(path, questions)
            return
        starts = defaultdict(list)
        for question in questions:
            starts[question.shown_from].append(question)
        for start, group in starts.items():
            yield from self._streamed(path, start, sorted(group, key=lambda each: each.at_seconds))

    def _from_frames(self, path: Path, questions: Sequence[Question]) -> Iterator[tuple[Question, str]]:
        from svlm_cli.media.file.reader import open_video

        with open_video(path, viewing=self._way.settings.viewing) as reader:
            for question in sorted(questions, key=lambda each: each.at_seconds):
                times = question_times(self._way, question, reader)
                video = self._plain.look(reader.frames_at(times))
                yield question, self._plain_answer(video, frames_per_second(self._way, times), question)

    def _plain_answer(self, video: VideoFeatures, fps: float, question: Question) -> str:
        if not question.candidates:
            return self._plain.reply(video, fps, question.prompt, self._max_new_tokens)
        ids = self._ids(question.candidates)
        scores = self._plain.scores(video, fps, question.prompt, LEAD, ids)
        return question.candidates[int(scores.argmax())]

    def _streamed(
        self, path: Path, start: float, questions: list[Question]
    ) -> Iterator[tuple[Question, str]]:
        from svlm_cli.media.file.reader import open_video
        from svlm_cli.stream.probe import ProbedSession
        from svlm_cli.stream.step.livecc import first_joined

        settings = replace(self._way.settings, start=start)
        session = ProbedSession(self._model, settings, feeder=self._feeder)
        with (
            open_video(path, viewing=settings.viewing) as reader,
            closing(
                first_joined(  # type: ignore[type-var]
                    reader.clips(settings.fps, settings.step_seconds, start), session.settings
                )
            ) as clips,
        ):
            clip = next(clips, None)
            while clip is not None and questions:
                following = next(clips, None)
                seen = session.see(clip)
                while questions and (following is None or self._is_due(questions[0], clip)):
                    question = questions.pop(0)
                    shown = _until(clip, question.at_seconds, settings.fps)
                    yield (
                        question,
                        self._stream_answer(session, seen if shown is clip else session.see(shown), question),
                    )
                if self._way.speaks:
                    session.step(seen)
                else:
                    session.watch(seen)
                clip = following

    def _is_due(self, question: Question, clip: Clip) -> bool:
        """Whether this is the last step that has ended by the time of the question."""
        step = self._way.settings.step_seconds
        return question.at_seconds < clip.end_seconds + step - TIME_TOLERANCE_SECONDS

    def _stream_answer(self, session: ProbedSession, seen: SeenClip, question: Question) -> str:
        if not question.candidates:
            return session.reply(seen, question.prompt, self._max_new_tokens)
        scores = session.scores(seen, question.prompt, LEAD, self._ids(question.candidates))
        return question.candidates[int(scores.argmax())]

    def _ids(self, candidates: Sequence[str]) -> list[int]:
        """The tokens of candidates at the beginning of a line."""
        writer = PromptWriter(self._model.tokenizer, self._model.markup)
        return [writer.encode(f"\n{each}")[-1] for each in candidates]


def _until(clip: Clip, end_seconds: float, fps: float) -> Clip:
    """The clip with nothing in it from after ``end_seconds``: its last picture by then stays on."""
    num = (
        max(1, int((end_seconds - clip.start_seconds) * fps + TIME_TOLERANCE_SECONDS) + 1)
        if (end_seconds < clip.end_seconds)
        else clip.num_frames
    )
    if num >= clip.num_frames:
        return clip
    frames = clip.frames.copy()
    frames[num:] = frames[num - 1]
    return replace(clip, frames=frames)
