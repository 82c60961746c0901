"""From a folder of videos and transcripts to a data set of chunks, with an account of what was left out."""

from __future__ import annotations

import json
import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

from svlm_cli.data.annealing import LEAST_LIVE_SHARE
from svlm_cli.data.chunks import Chunk, ChunkRule, clip_chunks, cut_chunks, remove_layout, write_layout
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.data.transcript import DenseClip, Transcript, read_transcript, transcript_path
from svlm_cli.errors import SourceError
from svlm_cli.files import whole_file

TRAIN, VALID = "train", "valid"
REPORT_FILE = "report.json"
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a split holds.

    Args:
        name: ``train`` or ``valid``.
        num_videos: with at least one chunk.
        num_chunks: written.
        hours: of all chunks, overlaps counted every time.
        words_per_second: over those hours.
        silent_share: share of their seconds in which nothing is said.
    """

    name: str
    num_videos: int
    num_chunks: int
    hours: float
    words_per_second: float
    silent_share: float


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """A whole run.

    Args:
        splits: what was written.
        dropped_chunks, dropped_videos: how many were left out, by reason.
    """

    splits: tuple[SplitReport, ...]
    dropped_chunks: dict[str, int]
    dropped_videos: dict[str, int]


@dataclass(slots=True)
class _Tally:
    """Counts of a run that is under way."""

    videos: set[str] = field(default_factory=set)
    chunks: int = 0
    seconds: int = 0
    words: int = 0
    silent: int = 0

    def add(self, chunk: Chunk) -> None:
        self.videos.add(chunk.video)
        self.chunks += 1
        self.seconds += chunk.end_seconds - chunk.start_seconds
        self.words += len(chunk.words)
        self.silent += chunk.lines.count("")

    def report(self, name: str) -> SplitReport:
        seconds = max(self.seconds, 1)
        hours = round(self.seconds / SECONDS_PER_HOUR, 4)
        rates = round(self.words / seconds, 4), round(self.silent / seconds, 4)
        return SplitReport(name, len(self.videos), self.chunks, hours, *rates)


def chunk_folder(
    folder: Path,
    dataset: Path,
    rule: ChunkRule,
    *,
    min_words_per_second: float = 2.0,
    valid_share: float = 0.02,
    seed: int = 0,
    annealing: bool = False,
) -> ChunkReport:
    """Cut every video of a folder into chunks and write ``train_s*w*`` and ``valid_s*w*``.

    For the annealing stage the chunks are the dense clips that ``svlm align --clean llm`` found to be live
    commentary for more than 80 %, and the files are ``train_annealing`` and ``valid_annealing``.

    Videos are read one after another; memory does not grow with their number.

    Args:
        folder: with ``videos.jsonl`` and ``transcripts/``.
        dataset: folder to write to; video paths are stored relative to it.
        rule: how videos are cut.
        min_words_per_second: chunks with fewer words are left out.
        valid_share: share of the videos, rounded, whose chunks are all in the ``valid`` split.
        seed: of the choice of those videos; it depends on nothing but the ids.
        annealing: take dense clips.

    Raises:
        SourceError: the folder cannot be read, or no video gives a chunk to train on; a data set that was
            there stays as it was.
    """
    videos = Manifest(folder).videos()
    held_out = _held_out([video.id for video in videos], valid_share, seed)
    dataset.mkdir(parents=True, exist_ok=True)
    dropped_chunks: Counter[str] = Counter()
    dropped_videos: Counter[str] = Counter()
    splits = []
    for name in (TRAIN, VALID):
        chosen = [video for video in videos if (video.id in held_out) == (name == VALID)]
        tally = _Tally()

        def kept(chosen: list[Video] = chosen, tally: _Tally = tally) -> Iterator[Chunk]:
            for video in chosen:
                for chunk in _chunks_of(
                    video, folder, dataset, rule, dropped_videos, dropped_chunks if annealing else None
                ):
                    seconds = chunk.end_seconds - chunk.start_seconds
                    if len(chunk.words) < min_words_per_second * seconds:
                        dropped_chunks[f"fewer than {min_words_per_second:g} words per second"] += 1
                        continue
                    tally.add(chunk)
                    yield chunk

        layout = f"{name}_annealing" if annealing else f"{name}_s{rule.stride}w{rule.window}"
        chunks = kept()
        first = next(chunks, None)
        if first is not None:
            write_layout(dataset, layout, chain([first], chunks))
        elif name == VALID:
            remove_layout(dataset, layout)
        else:
            reasons = [f"{reason}: {count}" for reason, count in (dropped_chunks | dropped_videos).items()]
            raise SourceError(f"no chunk came of the {len(chosen)} videos in {folder} ({', '.join(reasons)})")
        splits.append(tally.report(name))
    report = ChunkReport(tuple(splits), dict(dropped_chunks), dict(dropped_videos))
    with whole_file(dataset / REPORT_FILE) as partial:
        partial.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


def _held_out(ids: Sequence[str], share: float, seed: int) -> set[str]:
    ranked = sorted(set(ids), key=lambda video_id: random.Random(f"{seed} {video_id}").random())
    return set(ranked[: math.floor(share * len(ranked) + 0.5)])


def _chunks_of(
    video: Video,
    folder: Path,
    dataset: Path,
    rule: ChunkRule,
    dropped: Counter[str],
    dropped_clips: Counter[str] | None,
) -> Iterator[Chunk]:
    """Chunks of one video; with a place for dropped clips, its dense clips that are live."""
    transcript = _transcript_of(video, folder)
    if transcript is None or not transcript.words:
        dropped["no transcript" if transcript is None else "empty transcript"] += 1
        return
    words = sorted(transcript.words, key=lambda word: word.end_seconds)
    path = Path(os.path.relpath(folder / video.path, dataset)).as_posix()
    if dropped_clips is not None:
        live = list(_live_clips(transcript, dropped_clips))
        yield from clip_chunks(path, words, live, rule, video.title)
    elif video.duration_seconds < rule.window:
        dropped[f"shorter than {rule.window} s"] += 1
    else:
        yield from cut_chunks(path, words, video.duration_seconds, rule, video.title)


def _live_clips(transcript: Transcript, dropped: Counter[str]) -> Iterator[DenseClip]:
    for clip in transcript.clips:
        if clip.live_share is None:
            dropped["not judged: svlm align --clean llm does"] += 1
        elif clip.live_share <= LEAST_LIVE_SHARE:
            dropped[f"at most {LEAST_LIVE_SHARE:.0%} live commentary"] += 1
        else:
            yield clip


def _transcript_of(video: Video, folder: Path) -> Transcript | None:
    path = transcript_path(folder, video.id)
    return read_transcript(path) if path.is_file() else None
