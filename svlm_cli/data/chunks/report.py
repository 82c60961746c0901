"""An account of a data set of chunks: what is in it, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from svlm_cli.data.chunks.chunk import Chunk
from svlm_cli.text import encodable

SECONDS_PER_HOUR = 3600
MOST_NAMED = 20
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a split holds.

    Args:
        name: ``train`` or ``valid``.
        num_videos: the number of videos with at least one chunk.
        num_chunks: written.
        hours: the hours of all chunks, overlaps counted every time.
        words_per_second: over those hours.
        silent_share: share of their seconds in which nothing is said.
        dropped_chunks, dropped_videos, dropped_words: how many were left out, by reason.
        dropped_video_names: for each reason the first 20 of those videos, with details where there are any.
    """

    name: str
    num_videos: int
    num_chunks: int
    hours: float
    words_per_second: float
    silent_share: float
    dropped_chunks: Mapping[str, int]
    dropped_videos: Mapping[str, int]
    dropped_words: Mapping[str, int]
    dropped_video_names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """A whole run.

    Args:
        splits: what was written.
        dropped_chunks, dropped_videos, dropped_words: how many were left out of all splits, by reason.
    """

    splits: tuple[SplitReport, ...]
    dropped_chunks: Mapping[str, int]
    dropped_videos: Mapping[str, int]
    dropped_words: Mapping[str, int]

    @classmethod
    def of(cls, splits: Iterable[SplitReport]) -> ChunkReport:
        """Sum up."""
        parts = tuple(splits)
        return cls(
            parts,
            _sum(part.dropped_chunks for part in parts),
            _sum(part.dropped_videos for part in parts),
            _sum(part.dropped_words for part in parts),
        )

    def lines(self) -> list[str]:
        """For people."""
        return [line for part in self.splits for line in _lines(part)]


def _lines(part: SplitReport) -> Iterator[str]:
    if part.num_chunks:
        yield (
            f"{part.name}: {_many(part.num_chunks, 'chunk')} of {_many(part.num_videos, 'video')}, "
            f"{part.hours:.2f} h, {part.words_per_second:.2f} words/s, "
            f"{100 * part.silent_share:.0f} % of seconds silent"
        )
    else:
        yield f"{part.name}: no chunks"
    for reason, count in part.dropped_videos.items():
        names = part.dropped_video_names[reason][:_MOST_SHOWN]
        more = f" and {count - len(names)} more" if count > len(names) else ""
        yield f"  left out: {_many(count, 'video')} ({reason}): {', '.join(names)}{more}"
    for reason, count in part.dropped_chunks.items():
        yield f"  left out: {_many(count, 'chunk')} ({reason})"
    for reason, count in part.dropped_words.items():
        yield f"  left out: {_many(count, 'word')} ({reason})"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


@dataclass(slots=True)
class Tally:
    """Counts of a split that is under way."""

    videos: int = 0
    chunks: int = 0
    seconds: int = 0
    words: int = 0
    silent: int = 0
    dropped_chunks: Counter[str] = field(default_factory=Counter)
    dropped_videos: Counter[str] = field(default_factory=Counter)
    dropped_words: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> None:
        """Count a chunk that is written."""
        self.chunks += 1
        self.seconds += chunk.end_seconds - chunk.start_seconds
        self.words += len(chunk.words)
        self.silent += chunk.lines.count("")

    def drop_video(self, reason: str, name: str, detail: str = "") -> None:
        """Count a video that gives no chunk."""
        self.dropped_videos[reason] += 1
        named = self.names.setdefault(reason, [])
        if len(named) < MOST_NAMED:
            named.append(encodable(f"{name} ({detail})" if detail else name))

    def report(self, name: str) -> SplitReport:
        """What was counted."""
        seconds = max(self.seconds, 1)
        return SplitReport(
            name,
            self.videos,
            self.chunks,
            round(self.seconds / SECONDS_PER_HOUR, 4),
            round(self.words / seconds, 4),
            round(self.silent / seconds, 4),
            _sum([self.dropped_chunks]),
            _sum([self.dropped_videos]),
            _sum([self.dropped_words]),
            {reason: tuple(named) for reason, named in self.names.items()},
        )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())
