"""A transcript cut into overlapping chunks, and the published layout they are stored in.

Source: StreamingVLM (arXiv 2510.09608, section 3.3): a chunk is W seconds, the next starts W - O later,
and carries the commentary before it as previous text. A word belongs to the second (s, s + 1] in which
it ends.

The layout is that of Inf-Stream-Train, a sample a line::

    [{"role": "user", "content": [
        {"type": "video", "video": PATH, "video_start": s, "video_end": e},
        {"type": "text", "text": QUERY, "previous": TEXT}]},
     {"role": "assistant", "content": [
        {"type": "text_stream", "text_stream": [[start, end, word], ...],
         "qa_stream": [[start, end, question, answer], ...]}]}]

where ``qa_stream`` may be missing.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from svlm_cli.data.chunks.fields import part_of, parts_of, seconds_in, timed_rows
from svlm_cli.data.chunks.line_file import LineFile, write_lines
from svlm_cli.data.words.transcript import (
    LONGEST_CLIP_SECONDS,
    TIME_TOLERANCE_SECONDS,
    DenseClip,
    TimedWord,
    lines_by_second,
)
from svlm_cli.documents import MalformedError, parse_json
from svlm_cli.errors import SourceError
from svlm_cli.media.timeline import SHORTEST_STEP_SECONDS
from svlm_cli.values import path_text, text

QUERY = "Commentate on this match"
_LONGEST_PREVIOUS = 1 << 26
_HINT = "svlm chunk writes such samples, and Inf-Stream-Train has them"


@dataclass(frozen=True, slots=True)
class TimedQuestion:
    """A question asked while a video runs, in seconds of the video.

    Args:
        start_seconds, end_seconds: when.
        question, answer: what.
    """

    start_seconds: float
    end_seconds: float
    question: str
    answer: str

    @property
    def second(self) -> int:
        """The second (s, s + 1] in which it has been asked, that is, ends, as for a word."""
        return math.ceil(self.end_seconds - TIME_TOLERANCE_SECONDS) - 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A training window of a video.

    Args:
        video: path, relative to the data set's folder, or absolute.
        start_seconds, end_seconds: whole seconds.
        previous_text: what was told and said before.
        words: those that end within the chunk.
        query: what the first turn asks.
        questions: those asked within the chunk.
        may_lack_last: a video that ends where the sample did shows nothing of the last second.
    """

    video: str
    start_seconds: int
    end_seconds: int
    previous_text: str
    words: tuple[TimedWord, ...]
    query: str = QUERY
    questions: tuple[TimedQuestion, ...] = ()
    may_lack_last: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise ValueError(f"a chunk must last: {self.start_seconds} to {self.end_seconds} s")

    @property
    def lines(self) -> list[str]:
        """What is said in each second, empty when silent."""
        return lines_by_second(self.words, self.start_seconds, self.end_seconds)

    def without_last(self) -> Chunk | None:
        """The chunk up to its last second, where a video may show nothing of that; else None."""
        end = self.end_seconds - 1
        if not self.may_lack_last or end == self.start_seconds:
            return None
        return replace(
            self,
            end_seconds=end,
            words=tuple(word for word in self.words if word.second < end),
            questions=tuple(each for each in self.questions if each.second < end),
            may_lack_last=False,
        )


@dataclass(frozen=True, slots=True)
class ChunkRule:
    """How a video is cut.

    Args:
        window: W, whole seconds of a chunk.
        overlap: O, whole seconds that a chunk shares with the next, less than ``window``.
        sink, text_window: how much of the commentary before a chunk is stored, words at its head and at
            its tail. A word is a token or more, so that many tokens can be cut from what is stored just
            as from all of it.

    Raises:
        ValueError: an overlap as long as the window, a window of more than an hour, or a negative number.
    """

    window: int = 24
    overlap: int = 12
    sink: int = 512
    text_window: int = 512

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise ValueError(f"an overlap of {self.overlap} s does not fit a window of {self.window} s")
        if self.window > LONGEST_CLIP_SECONDS:
            raise ValueError(f"a window of {self.window} s is longer than {LONGEST_CLIP_SECONDS} s")
        if min(self.sink, self.text_window) < 0:
            raise ValueError("sink and text_window must be 0 or more")

    @property
    def stride(self) -> int:
        """Seconds from the start of a chunk to that of the next."""
        return self.window - self.overlap


def cut_chunks(
    video: str,
    words: Sequence[TimedWord],
    duration_seconds: float,
    rule: ChunkRule,
    opening_text: str = "",
) -> Iterator[Chunk]:
    """The chunks of one video, in order; what is left at its end is no chunk.

    Args:
        video: path to write into the chunks.
        words: the words, in order of their ends.
        duration_seconds: the duration of the video.
        rule: how it is cut.
        opening_text: title or context, told before anything is said.
    """
    starts = range(0, math.floor(duration_seconds) - rule.window + 1, rule.stride)
    return _cut(video, words, ((start, start + rule.window) for start in starts), rule, opening_text)


def clip_chunks(
    video: str,
    words: Sequence[TimedWord],
    clips: Iterable[DenseClip],
    rule: ChunkRule,
    opening_text: str = "",
) -> Iterator[Chunk]:
    """Clips of one video as chunks, for the annealing stage; arguments as for ``cut_chunks``."""
    spans = ((clip.start_seconds, clip.end_seconds) for clip in clips)
    return _cut(video, words, spans, rule, opening_text)


def _cut(
    video: str,
    words: Sequence[TimedWord],
    spans: Iterable[tuple[int, int]],
    rule: ChunkRule,
    opening_text: str,
) -> Iterator[Chunk]:
    seconds = [word.second for word in words]
    for start, end in spans:
        first, last = bisect_left(seconds, start), bisect_left(seconds, end)
        told = _told(opening_text, words, first, rule)
        yield Chunk(video, start, end, told, tuple(words[first:last]))


def _told(opening_text: str, words: Sequence[TimedWord], end: int, rule: ChunkRule) -> str:
    """Opening text and the words before ``end``, without those that no window would keep."""
    head = min(rule.sink, end)
    tail = max(head, end - rule.text_window)
    said = (word.text for word in chain(words[:head], words[tail:end]))
    return " ".join([*filter(None, [opening_text]), *said])


def write_layout(folder: Path, name: str, chunks: Iterable[Chunk], *, index_last: bool = False) -> int:
    """Write ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl`` (a list of the samples' offsets in bytes).

    With ``index_last`` the first file's last line is that list too, as in the files of Live-WhisperX.
    Where writing fails, a pair that was there stays as it was.

    Returns:
        How many chunks were written.
    """
    lines = (json.dumps(_to_json(chunk), ensure_ascii=False).encode() for chunk in chunks)
    return write_lines(folder, name, lines, index_last=index_last)


class ChunkFile:
    """Reads chunks of the layout by number, one line at a time.

    It may be pickled, and used after a fork and in threads. Each process opens the file once.

    Args:
        folder: holds ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl``; without the second, the first
            is looked through once for where its lines begin.
        name: the name of the pair.

    Raises:
        SourceError: a file is missing or the two do not belong together.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._lines = LineFile(folder, name)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, number: int) -> Chunk:
        """Read one chunk.

        Raises:
            IndexError: there are not so many.
            SourceError: the line is not a sample of this layout; names file, number and field.
        """
        line = self._lines[number]
        try:
            return _from_json(parse_json(line))
        except MalformedError as error:
            raise SourceError(f"{self._lines.place(number)}: {error}", _HINT) from error


def _to_json(chunk: Chunk) -> list[dict[str, Any]]:
    video = {
        "type": "video",
        "video": chunk.video,
        "video_start": chunk.start_seconds,
        "video_end": chunk.end_seconds,
    }
    text = {"type": "text", "text": chunk.query, "previous": chunk.previous_text}
    said = [[word.start_seconds, word.end_seconds, word.text] for word in chunk.words]
    stream: dict[str, Any] = {"type": "text_stream", "text_stream": said}
    if chunk.questions:
        stream["qa_stream"] = [
            [each.start_seconds, each.end_seconds, each.question, each.answer] for each in chunk.questions
        ]
    return [{"role": "user", "content": [video, text]}, {"role": "assistant", "content": [stream]}]


def _from_json(sample: Any) -> Chunk:
    """A sample of the layout; its parts may come in any order, and its times need not be whole."""
    asked, answered = parts_of(sample, "user"), parts_of(sample, "assistant")
    video, told = part_of(asked, "video"), part_of(asked, "text")
    part_of(answered, "text_stream")
    previous = told.get("previous")
    start = math.floor(seconds_in(video, "video_start") + TIME_TOLERANCE_SECONDS)
    words = [
        TimedWord(word.strip(), begins, ends)
        for part in answered
        for begins, ends, (word,) in timed_rows(part, "text_stream", 1)
        if word.strip()
    ]
    questions = [
        TimedQuestion(begins, ends, *texts)
        for part in answered
        for begins, ends, texts in timed_rows(part, "qa_stream", 2)
    ]
    said = chain((word.second for word in words), (each.second for each in questions))
    stated = seconds_in(video, "video_end")
    end = _end(stated, said)
    if not 0 <= start < end <= start + LONGEST_CLIP_SECONDS:
        raise MalformedError(f"video_start and video_end, {start} and {end}, are no span of a video")
    return Chunk(
        video=path_text(video.get("video"), "video"),
        start_seconds=start,
        end_seconds=end,
        previous_text="" if previous is None else text(previous, "previous", _LONGEST_PREVIOUS),
        words=tuple(word for word in words if start <= word.second < end),
        query=text(told.get("text"), "text"),
        questions=tuple(each for each in questions if start <= each.second < end),
        may_lack_last=end - 1 < stated <= end - 1 + SHORTEST_STEP_SECONDS,
    )


def _end(end_seconds: float, said: Iterable[int]) -> int:
    """The whole second that a sample ends with.

    LiveCC's samples end with their last word, inside a second: this second is a turn like the others, as
    streaming shows it whole. One in which nothing is said is none: what is said in its rest is not known.
    """
    end = math.floor(end_seconds + TIME_TOLERANCE_SECONDS)
    return end + 1 if end_seconds - end > TIME_TOLERANCE_SECONDS and end in said else end
