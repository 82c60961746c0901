"""A transcript cut into overlapping chunks, and the published layout they are stored in.

Source: StreamingVLM (arXiv 2510.09608, section 3.3): a chunk is W seconds, the next starts W - O later,
and carries the commentary before it as previous text. A word belongs to the second (s, s + 1] in which
it ends.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.data.transcript import DenseClip, TimedWord, lines_by_second
from svlm_cli.errors import SourceError
from svlm_cli.files import whole_file

QUERY = "Commentate on this match"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A training window of a video.

    Args:
        video: path, relative to the data set's folder.
        start_seconds, end_seconds: whole seconds.
        previous_text: what was told and said before.
        words: those that end within the chunk.
        query: what the first turn asks.
    """

    video: str
    start_seconds: int
    end_seconds: int
    previous_text: str
    words: tuple[TimedWord, ...]
    query: str = QUERY

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise ValueError(f"a chunk must last: {self.start_seconds} to {self.end_seconds} s")

    @property
    def lines(self) -> list[str]:
        """What is said in each second, empty when silent."""
        return lines_by_second(self.words, self.start_seconds, self.end_seconds)


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
        ValueError: an overlap as long as the window, or a negative number.
    """

    window: int = 24
    overlap: int = 12
    sink: int = 512
    text_window: int = 512

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise ValueError(f"an overlap of {self.overlap} s does not fit a window of {self.window} s")
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
        words: in order of their ends.
        duration_seconds: of the video.
        rule: how it is cut.
        opening_text: title or context, told before anything is said.
    """
    seconds = [word.second for word in words]
    for start in range(0, math.floor(duration_seconds) - rule.window + 1, rule.stride):
        first, last = bisect_left(seconds, start), bisect_left(seconds, start + rule.window)
        told = _told(opening_text, words, first, rule)
        yield Chunk(video, start, start + rule.window, told, tuple(words[first:last]))


def clip_chunks(
    video: str,
    words: Sequence[TimedWord],
    clips: Iterable[DenseClip],
    rule: ChunkRule,
    opening_text: str = "",
) -> Iterator[Chunk]:
    """Clips of one video as chunks, for the annealing stage; arguments as for ``cut_chunks``."""
    seconds = [word.second for word in words]
    for clip in clips:
        first, last = bisect_left(seconds, clip.start_seconds), bisect_left(seconds, clip.end_seconds)
        told = _told(opening_text, words, first, rule)
        yield Chunk(video, clip.start_seconds, clip.end_seconds, told, tuple(words[first:last]))


def _told(opening_text: str, words: Sequence[TimedWord], end: int, rule: ChunkRule) -> str:
    """Opening text and the words before ``end``, without those that no window would keep."""
    said = words[:end]
    if end > rule.sink + rule.text_window:
        said = [*words[: rule.sink], *words[end - rule.text_window : end]]
    return " ".join([*filter(None, [opening_text]), *(word.text for word in said)])


def write_layout(folder: Path, name: str, chunks: Iterable[Chunk]) -> int:
    """Write ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl`` as Inf-Stream-Train has them.

    The pair is whole or lacks its seeks, which ``ChunkFile`` says.

    Returns:
        How many chunks were written.
    """
    path, seeks_path = _pair(folder, name)
    seeks = []
    with whole_file(path) as partial:
        with partial.open("wb") as file:
            for chunk in chunks:
                seeks.append(file.tell())
                file.write(json.dumps(_to_json(chunk), ensure_ascii=False).encode() + b"\n")
        seeks_path.unlink(missing_ok=True)
    with whole_file(seeks_path) as partial:
        partial.write_text(json.dumps(seeks), encoding="utf-8")
    return len(seeks)


def remove_layout(folder: Path, name: str) -> None:
    """Remove a pair, if it is there."""
    for path in _pair(folder, name):
        path.unlink(missing_ok=True)


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}_with_seeks.jsonl", folder / f"{name}_seeks.jsonl"


class ChunkFile:
    """Reads chunks of the Inf-Stream-Train layout by number, one line at a time.

    Args:
        folder: that holds ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl``.
        name: of the pair.

    Raises:
        SourceError: a file is missing or is not of this layout.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path, seeks = _pair(folder, name)
        try:
            self._seeks: list[int] = json.loads(seeks.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{seeks} cannot be read: {error}") from error

    def __len__(self) -> int:
        return len(self._seeks)

    def __getitem__(self, number: int) -> Chunk:
        """Read one chunk.

        Raises:
            SourceError: the line is not a sample of this layout; names file and number.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._seeks[number])
                return _from_json(json.loads(file.readline()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self._path}, sample {number}, cannot be read: {error!r}") from error


def _to_json(chunk: Chunk) -> list[dict[str, Any]]:
    video = {
        "type": "video",
        "video": chunk.video,
        "video_start": chunk.start_seconds,
        "video_end": chunk.end_seconds,
    }
    text = {"type": "text", "text": chunk.query, "previous": chunk.previous_text}
    said = [[word.start_seconds, word.end_seconds, word.text] for word in chunk.words]
    return [
        {"role": "user", "content": [video, text]},
        {"role": "assistant", "content": [{"type": "text_stream", "text_stream": said}]},
    ]


def _from_json(sample: list[dict[str, Any]]) -> Chunk:
    video, text = sample[0]["content"]
    start, end = math.floor(video["video_start"]), math.floor(video["video_end"])
    words = (TimedWord(word, begin, stop) for begin, stop, word in sample[1]["content"][0]["text_stream"])
    return Chunk(
        video=video["video"],
        start_seconds=start,
        end_seconds=end,
        previous_text=text["previous"],
        words=tuple(word for word in words if start <= word.second < end),
        query=text["text"],
    )
