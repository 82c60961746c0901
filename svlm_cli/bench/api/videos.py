"""Pictures of videos and a text, sent to an OpenAI-compatible address; every reply is stored once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from svlm_cli.bench.api.options import ApiOptions, make_plan
from svlm_cli.bench.api.pictures import picture_tokens, shown_size, user_message
from svlm_cli.bench.api.pool import Work
from svlm_cli.bench.api.prices import PICTURE_TOKENS, CallPlan, text_tokens
from svlm_cli.bench.common.events import WorkEvent
from svlm_cli.bench.common.records import Record
from svlm_cli.bench.common.work import HasVideo, present, record_key
from svlm_cli.chat import Chat, Reply
from svlm_cli.types import WarningEvent

if TYPE_CHECKING:
    from svlm_cli.media.file.reader import VideoReader

JobT = TypeVar("JobT", bound=HasVideo)


@dataclass(frozen=True, slots=True)
class CallForm(Generic[JobT]):
    """How a job is put to an address.

    Args:
        unit: what a reply is, as a plural.
        key: the key of its line of results.
        prompt: the text.
        times: the times of the pictures, in seconds of the video.
        record: the line of a reply.
        place: the place of the job, for people.
    """

    unit: str
    key: Callable[[JobT], str]
    prompt: Callable[[JobT], str]
    times: Callable[[JobT, VideoReader], Sequence[float]]
    record: Callable[[JobT, Reply], Record]
    place: Callable[[JobT], str]


class VideoCalls(Generic[JobT]):
    """Jobs about videos, done behind an address.

    Args:
        jobs: those whose video is not there are left out.
        options: who is asked.
        path: the path of the results.
        asking: how.

    Raises:
        SourceError: no video is there.
    """

    def __init__(self, jobs: Sequence[JobT], options: ApiOptions, path: Path, asking: CallForm[JobT]) -> None:
        self._jobs, self._missing = present(jobs, asking.unit)
        self._options = options
        self._asking = asking
        self._work = Work(
            options.model,
            asking.unit,
            path,
            record_key,
            {asking.key(job): job for job in self._jobs},
            self._ask,
            asking.record,
            asking.place,
        )

    def told(self) -> Generator[WorkEvent, None, None]:
        """Which jobs are out, as their video is not there."""
        if self._missing:
            yield WarningEvent(self._missing)

    def plan(self) -> CallPlan:
        """What is left to ask; nothing is sent and nothing written."""
        from svlm_cli.media.file.reader import open_video

        left = self._work.left()
        rule = PICTURE_TOKENS.get(self._options.model, (85, 170))
        by_video: defaultdict[Path, list[JobT]] = defaultdict(list)
        for job in left:
            by_video[job.video].append(job)
        prompt = 0
        for path, jobs in by_video.items():
            with open_video(path, viewing=self._options.viewing) as video:
                size = shown_size(video.info.width, video.info.height, self._options.height)
                for job in jobs:
                    pictures = [size] * len(self._asking.times(job, video))
                    prompt += text_tokens(self._asking.prompt(job)) + picture_tokens(pictures, *rule)
        return make_plan(self._options, len(left), len(self._jobs) - len(left), prompt)

    def run(self) -> Generator[WorkEvent, None, None]:
        """Ask about every job that has no line yet.

        Raises:
            NoReplyError: the address cannot be reached; lines so far are kept.
            OutputError: the folder cannot be used.
        """
        yield from self.told()
        own = self._options
        yield from self._work.run(own.model, own.base_url, own.workers)

    def _ask(self, chat: Chat, job: JobT) -> Reply:
        from svlm_cli.media.file.reader import open_video

        with open_video(job.video, viewing=self._options.viewing) as reader:
            frames = reader.frames_at(self._asking.times(job, reader))
        return chat.ask([user_message(self._asking.prompt(job), frames, self._options.height)])
