"""From a folder of videos and transcripts to a data set of chunks, with an account of what was left out."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from svlm_cli.claims import claim
from svlm_cli.data.chunks.chunk import Chunk, ChunkRule, clip_chunks, cut_chunks, write_layout
from svlm_cli.data.chunks.line_file import pair_paths
from svlm_cli.data.chunks.report import ChunkReport, SplitReport, Tally
from svlm_cli.data.chunks.videos import CommentatedVideo, find_videos, load_transcript
from svlm_cli.data.manifest import DAMAGED_LINE, BadLine, Manifest
from svlm_cli.data.words.annealing import LEAST_LIVE_SHARE
from svlm_cli.data.words.filters import refusal_parts
from svlm_cli.data.words.transcript import DenseClip, Transcript, dropped_words
from svlm_cli.errors import OutputError, SourceError
from svlm_cli.files import make_folder, place, sync
from svlm_cli.settings import VIEWING, Reader, Viewing
from svlm_cli.text import encodable

TRAIN, VALID = "train", "valid"
REPORT_FILE = "report.json"
WORK_FOLDER = ".chunk"
_MISSING = "video file missing"


@dataclass(frozen=True, slots=True)
class _ChunkPlan:
    """What to make of a folder; the fields are the arguments of ``chunk_folder``."""

    folder: Path
    dataset: Path
    rule: ChunkRule
    min_words_per_second: float
    annealing: bool
    check_videos: bool
    language: str
    viewing: Viewing
    index_last: bool

    def layout(self, split: str) -> str:
        """The name of a pair of files."""
        kind = "annealing" if self.annealing else f"s{self.rule.stride}w{self.rule.window}"
        return f"{split}_{kind}"


def chunk_folder(
    folder: Path,
    dataset: Path,
    rule: ChunkRule,
    *,
    min_words_per_second: float = 2.0,
    valid_share: float = 0.02,
    seed: int = 0,
    annealing: bool = False,
    check_videos: bool = True,
    language: str = "en",
    viewing: Viewing = VIEWING,
    index_last: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ChunkReport:
    """Cut every video of a folder into chunks and write ``train_s*w*`` and ``valid_s*w*``.

    For the annealing stage the chunks are the dense clips that ``svlm align --clean llm`` found to be live
    commentary for more than 80 %, and the files are ``train_annealing`` and ``valid_annealing``.

    Videos are read one after another; memory does not grow with their number. Nothing takes its place in
    ``dataset`` before all is written: a run that fails or is killed leaves the data set that was there.

    Args:
        folder: has ``videos.jsonl`` and ``transcripts/``, or transcripts alone (``find_videos``).
        dataset: folder to write to; video paths are stored relative to it.
        rule: how videos are cut.
        min_words_per_second: chunks with fewer words are left out.
        valid_share: share of the videos, rounded, whose chunks are all in the ``valid`` split.
        seed: the seed of the choice of those videos; it depends on nothing but the ids.
        annealing: take dense clips.
        check_videos: leave out videos whose file is not there.
        language: the language of transcripts made elsewhere, two letters; others are left out.
        viewing: where it names a reader, every video is opened with it.
        index_last: as ``write_layout`` has it.
        on_progress: told how many videos are done, and of how many.

    Raises:
        SourceError: the folder cannot be read, or no video gives a chunk to train on.
        OutputError: ``dataset`` cannot be written, or another run is writing to it.
    """
    how = min_words_per_second, annealing, check_videos, language, viewing, index_last
    plan = _ChunkPlan(folder, dataset, rule, *how)
    videos = find_videos(folder, check_videos=check_videos)
    manifest = Manifest(folder)
    bad_lines = manifest.bad_lines() if manifest.exists else []
    held_out = _held_out([video.id for video in videos], valid_share, seed)
    chosen = {
        TRAIN: [video for video in videos if video.id not in held_out],
        VALID: [video for video in videos if video.id in held_out],
    }
    try:
        with _work_folder(dataset) as work:
            return _write(plan, chosen, bad_lines, work, on_progress or (lambda _done, _all: None))
    except OSError as error:
        raise OutputError(f"{dataset} cannot be written: {error.strerror or error}") from error


def _write(
    plan: _ChunkPlan,
    chosen: Mapping[str, Sequence[CommentatedVideo]],
    bad_lines: Sequence[BadLine],
    work: Path,
    on_progress: Callable[[int, int], None],
) -> ChunkReport:
    """Everything into ``work``, and from there to its place."""
    num_videos = sum(map(len, chosen.values()))
    splits: list[SplitReport] = []
    done = 0
    for name, videos in chosen.items():
        tally = Tally()
        for bad in bad_lines if name == TRAIN else ():
            tally.drop_video(DAMAGED_LINE, f"line {bad.number}", bad.reason)
        chunks = _chunks(_told(videos, done, num_videos, on_progress), plan, tally)
        write_layout(work, plan.layout(name), chunks, index_last=plan.index_last)
        done += len(videos)
        splits.append(tally.report(name))
        if name == TRAIN and not tally.chunks:
            raise _no_chunk(plan.folder, len(videos), splits[0])
    report = ChunkReport.of(splits)
    document = json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n"
    (work / REPORT_FILE).write_text(document, encoding="utf-8")
    _publish(work, plan, has_valid=splits[1].num_chunks > 0)
    return report


def _told(
    videos: Sequence[CommentatedVideo], done: int, num_videos: int, on_progress: Callable[[int, int], None]
) -> Iterator[CommentatedVideo]:
    """The same videos, each after its number is told."""
    for number, video in enumerate(videos, done):
        on_progress(number, num_videos)
        yield video


@contextmanager
def _work_folder(dataset: Path) -> Iterator[Path]:
    """A new folder within the data set, on the same disk; what a killed run left in it is removed."""
    make_folder(dataset)
    made = dataset / WORK_FOLDER / "new"
    with claim(dataset, f"the data set {dataset}", inside=True):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _publish(work: Path, plan: _ChunkPlan, *, has_valid: bool) -> None:
    """Put everything in its place.

    The order is such that samples never lie beside the offsets or the held-out videos of another run, and
    each step is on the disk before the next: who is killed between two of them, or loses power, leaves a data
    set without held-out videos or report.
    """
    train, valid = (pair_paths(Path(), plan.layout(name)) for name in (TRAIN, VALID))
    for olds in ((REPORT_FILE,), (*valid, train[1])):
        for old in olds:
            (plan.dataset / old).unlink(missing_ok=True)
        sync(plan.dataset)
    for new in (*train, *(valid if has_valid else ()), REPORT_FILE):
        place(work / new, plan.dataset / new)


def _no_chunk(folder: Path, num_videos: int, report: SplitReport) -> SourceError:
    dropped = {**report.dropped_chunks, **report.dropped_videos}
    reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
    told = f" ({reasons})" if reasons else ""
    hint = "--no-video-check takes them without their files" if _MISSING in dropped else ""
    return SourceError(f"no chunk to train on came of the {num_videos} videos in {folder}{told}", hint)


def _held_out(ids: Sequence[str], share: float, seed: int) -> set[str]:
    ranked = sorted(set(ids), key=lambda video_id: random.Random(f"{seed} {video_id}").random())
    return set(ranked[: math.floor(share * len(ranked) + 0.5)])


def _chunks(videos: Iterable[CommentatedVideo], plan: _ChunkPlan, tally: Tally) -> Iterator[Chunk]:
    """The chunks of a split, counted, and with them what is left out."""
    least = plan.min_words_per_second
    for video in videos:
        before = tally.chunks
        cut = _cut(video, plan, tally)
        if cut is None:
            continue
        for chunk in cut:
            if len(chunk.words) < least * (chunk.end_seconds - chunk.start_seconds):
                tally.dropped_chunks[f"fewer than {least:g} words per second"] += 1
                continue
            tally.add(chunk)
            yield chunk
        if tally.chunks > before:
            tally.videos += 1
        else:
            tally.drop_video("none of its chunks is left", video.id)


def _cut(video: CommentatedVideo, plan: _ChunkPlan, tally: Tally) -> Iterator[Chunk] | None:
    """All chunks of a video; None where it can have none, and is counted."""
    if encodable(video.id) != video.id:
        tally.drop_video("file name is not UTF-8", video.id)
        return None
    if plan.check_videos and not video.path.is_file():
        tally.drop_video(_MISSING, video.id)
        return None
    if plan.viewing.reader is not Reader.AUTO and (reason := _unreadable(video.path, plan.viewing)):
        tally.drop_video(f"cannot be read by {plan.viewing.reader.value}", video.id, reason)
        return None
    loaded = _load(video, plan, tally)
    if loaded is None:
        return None
    transcript, end_seconds = loaded
    duration = end_seconds if video.duration_seconds is None else video.duration_seconds
    words = sorted(transcript.words, key=lambda word: word.end_seconds)
    path = relative_path(video.path, plan.dataset)
    if plan.annealing:
        live = _live_clips(transcript, math.inf if video.duration_seconds is None else duration, tally)
        return clip_chunks(path, words, live, plan.rule, video.title)
    if duration < plan.rule.window:
        tally.drop_video(f"shorter than {plan.rule.window} s", video.id)
        return None
    return cut_chunks(path, words, duration, plan.rule, video.title)


def _unreadable(path: Path, viewing: Viewing) -> str:
    """Why a video cannot be trained on; empty where it can."""
    from svlm_cli.media.file.reader import open_video

    try:
        open_video(path, viewing=viewing).close()
    except SourceError as error:
        return error.message
    return ""


def _load(video: CommentatedVideo, plan: _ChunkPlan, tally: Tally) -> tuple[Transcript, float] | None:
    """A transcript that says something, and when it ends; None where there is none, and is counted."""
    if not video.transcript.is_file():
        tally.drop_video("no transcript", video.id)
        return None
    try:
        transcript, end_seconds = load_transcript(video.transcript, plan.language, video.path)
    except SourceError as error:
        tally.drop_video("unreadable transcript", video.id, error.message)
        return None
    tally.dropped_words.update(dropped_words(transcript))
    if transcript.refused:
        kind, figures = refusal_parts(transcript.refused)
        tally.drop_video(kind, video.id, figures)
        return None
    if not transcript.words:
        tally.drop_video("empty transcript", video.id)
        return None
    return transcript, end_seconds


def relative_path(video: Path, dataset: Path) -> str:
    """How a data set names a video: from its own folder, links on the way followed."""
    return Path(os.path.relpath(video.parent.resolve() / video.name, dataset.resolve())).as_posix()


def _live_clips(transcript: Transcript, duration_seconds: float, tally: Tally) -> Iterator[DenseClip]:
    for clip in transcript.clips:
        if clip.live_share is None:
            tally.dropped_chunks["not judged: svlm align --clean llm does"] += 1
        elif clip.live_share <= LEAST_LIVE_SHARE:
            tally.dropped_chunks[f"at most {LEAST_LIVE_SHARE:.0%} live commentary"] += 1
        elif clip.end_seconds > duration_seconds:
            tally.dropped_chunks["past the end of the video"] += 1
        else:
            yield clip
