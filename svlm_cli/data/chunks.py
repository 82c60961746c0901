"""A transcript cut into overlapping chunks, and the published layout they are stored in.

Source: StreamingVLM (arXiv 2510.09608, section 3.3): a chunk is W seconds, the next starts W - O later,
and carries the commentary before it as previous text. A word belongs to the second (s, s + 1] in which
it ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.errors import SourceError

QUERY = "Commentate on this match"
TIME_TOLERANCE_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A spoken word, in seconds of its video."""

    text: str
    start_seconds: float
    end_seconds: float

    @property
    def second(self) -> int:
        """The second (s, s + 1] it ends in."""
        return math.ceil(self.end_seconds - TIME_TOLERANCE_SECONDS) - 1


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
        said: list[list[str]] = [[] for _ in range(self.end_seconds - self.start_seconds)]
        for word in self.words:
            said[word.second - self.start_seconds].append(word.text)
        return [" ".join(words) for words in said]


def cut_chunks(
    video: str,
    words: Sequence[TimedWord],
    duration_seconds: float,
    *,
    opening_text: str = "",
    window: int = 24,
    overlap: int = 12,
    min_words: int = 0,
) -> Iterator[Chunk]:
    """The chunks of one video, in order; what is left at its end is no chunk.

    Args:
        video: path to write into the chunks.
        words: in order of time.
        duration_seconds: of the video.
        opening_text: title or context, told before anything is said.
        window: W, whole seconds.
        overlap: O, whole seconds, less than ``window``.
        min_words: a chunk with fewer words is left out.

    Raises:
        ValueError: an overlap as long as the window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"an overlap of {overlap} s does not fit a window of {window} s")
    for start in range(0, math.floor(duration_seconds) - window + 1, window - overlap):
        before = [word.text for word in words if word.second < start]
        inside = tuple(word for word in words if start <= word.second < start + window)
        if len(inside) >= min_words:
            told = " ".join([*filter(None, [opening_text]), *before])
            yield Chunk(video, start, start + window, told, inside)


def write_layout(folder: Path, name: str, chunks: Iterable[Chunk]) -> int:
    """Write ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl`` as Inf-Stream-Train has them.

    Returns:
        How many chunks were written.
    """
    seeks = []
    with (folder / f"{name}_with_seeks.jsonl").open("wb") as file:
        for chunk in chunks:
            seeks.append(file.tell())
            file.write(json.dumps(_to_json(chunk), ensure_ascii=False).encode() + b"\n")
    (folder / f"{name}_seeks.jsonl").write_text(json.dumps(seeks), encoding="utf-8")
    return len(seeks)


class ChunkFile:
    """Reads chunks of the Inf-Stream-Train layout by number, one line at a time.

    Args:
        folder: that holds ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl``.
        name: of the pair.

    Raises:
        SourceError: a file is missing or is not of this layout.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}_with_seeks.jsonl"
        seeks = folder / f"{name}_seeks.jsonl"
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
