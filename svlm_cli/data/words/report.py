"""An account of the transcripts of a folder: what is there, what was left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from svlm_cli.data.manifest import DAMAGED_LINE, VIDEOS_FILE, Manifest
from svlm_cli.data.words.aligner import Aligned, AlignOutcome
from svlm_cli.data.words.transcript import dropped_words
from svlm_cli.errors import OutputError
from svlm_cli.files import whole_file

REPORT_FILE = "align.json"
# Shares of sentences in the paper (StreamingVLM, arXiv 2510.09608, section 3.3), in percent.
PAPER_SHARES: Mapping[str, float] = {"keep": 46.32, "edit": 37.89, "delete": 15.79}
_SECONDS_PER_HOUR = 3600
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class VideoReport:
    """One video.

    Args:
        id: its id.
        outcome: what came of it in the last run: aligned, had, refused, skipped, failed.
        reason: why, for the last three outcomes.
        num_words: the number of words that stay.
        words_per_second: over the whole video.
        dropped_words: left out, by reason.
        notes: what its sound was (track, other tracks, oddities), and which files were put aside.
    """

    id: str
    outcome: str
    reason: str
    num_words: int
    words_per_second: float
    dropped_words: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlignReport:
    """A whole folder.

    Args:
        videos: one by one.
        outcomes: how many of each.
        hours: the hours of the videos that have a transcript.
        num_words, words_per_second: how many words they have, in all and a second.
        dropped_words: the number of words dropped, by reason.
        left_out: videos without a transcript, by reason.
        bad_lines: the lines of ``videos.jsonl``, each with what is wrong with it.
        sentences: kept, edited and deleted by a language model; ``malformed`` of those kept were answered
            in a way that could not be read.
        sentence_percent: shares of the first three.
        dense_clips: stretches that may serve the annealing stage, and how many were judged live.
        realtime_factor: seconds of video aligned in this run per second of it; None where there were none.
    """

    videos: tuple[VideoReport, ...]
    outcomes: Mapping[str, int]
    hours: float
    num_words: int
    words_per_second: float
    dropped_words: Mapping[str, int]
    left_out: Mapping[str, int]
    bad_lines: tuple[str, ...]
    sentences: Mapping[str, int]
    sentence_percent: Mapping[str, float]
    dense_clips: Mapping[str, int]
    realtime_factor: float | None

    def lines(self) -> list[str]:
        """For people."""
        told = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items())
        lines = [
            f"videos: {told}",
            f"words: {self.num_words} in {self.hours:.2f} h, {self.words_per_second:.2f} a second",
        ]
        lines += [f"left out: {count} videos ({reason})" for reason, count in self.left_out.items()]
        lines += [f"left out: {bad}" for bad in self.bad_lines[:_MOST_SHOWN]]
        lines += [f"left out: {count} words ({reason})" for reason, count in self.dropped_words.items()]
        for name, percent in self.sentence_percent.items():
            lines.append(f"sentences, {name}: {percent:.2f} % (the paper: {PAPER_SHARES[name]:.2f} %)")
        if self.sentences.get("malformed"):
            lines.append(f"sentences kept, their answer unreadable: {self.sentences['malformed']}")
        lines.append(
            f"dense clips for annealing: {self.dense_clips['all']}, judged live: {self.dense_clips['live']}"
        )
        if self.realtime_factor is not None:
            lines.append(f"speed: {self.realtime_factor:.1f} x real time")
        return lines


def report(folder: Path | None, results: Sequence[Aligned], wall_seconds: float) -> AlignReport:
    """Write ``DIR/align.json`` from what became of every video.

    Args:
        folder: the folder of the videos; None for files that lie anywhere, of which nothing is written.
        results: the results of a whole run.
        wall_seconds: the seconds that it took.
    """
    from svlm_cli.data.words.annealing import LEAST_LIVE_SHARE

    present = [each for each in results if each.transcript is not None and not each.transcript.refused]
    transcripts = [each.transcript for each in present if each.transcript is not None]
    seconds = sum(each.video.duration_seconds for each in present)
    num_words = sum(len(transcript.words) for transcript in transcripts)
    dropped: Counter[str] = Counter()
    sentences: Counter[str] = Counter()
    for each in results:
        dropped.update(_dropped(each))
    for transcript in transcripts:
        sentences.update(
            {
                name.removeprefix("sentences_"): int(count)
                for name, count in transcript.figures.items()
                if name.startswith("sentences_")
            }
        )
    bad_lines = [] if folder is None else Manifest(folder).bad_lines()
    left_out = Counter(each.reason.partition(": ")[0] for each in results if each.reason)
    left_out.update({DAMAGED_LINE: len(bad_lines)} if bad_lines else {})
    num_sentences = sum(sentences[name] for name in PAPER_SHARES)
    clips = [clip for transcript in transcripts for clip in transcript.clips]
    made = [each.video.duration_seconds for each in results if each.outcome is AlignOutcome.ALIGNED]
    account = AlignReport(
        videos=tuple(_video(each) for each in sorted(results, key=lambda each: each.video.id)),
        outcomes=dict(Counter(each.outcome.value for each in results)),
        hours=round(seconds / _SECONDS_PER_HOUR, 4),
        num_words=num_words,
        words_per_second=round(num_words / seconds, 3) if seconds else 0.0,
        dropped_words=dict(dropped.most_common()),
        left_out=dict(left_out.most_common()),
        bad_lines=tuple(f"line {bad.number} of {VIDEOS_FILE}: {bad.reason}" for bad in bad_lines),
        sentences=dict(sentences),
        sentence_percent={
            name: round(100 * sentences[name] / num_sentences, 2) for name in PAPER_SHARES if num_sentences
        },
        dense_clips={
            "all": len(clips),
            "live": sum(clip.live_share is not None and clip.live_share > LEAST_LIVE_SHARE for clip in clips),
        },
        realtime_factor=round(sum(made) / wall_seconds, 2) if made and wall_seconds else None,
    )
    if folder is None:
        return account
    document = json.dumps(asdict(account), indent=2, ensure_ascii=False) + "\n"
    try:
        with whole_file(folder / REPORT_FILE) as partial:
            partial.write_text(document, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder / REPORT_FILE} cannot be written: {error.strerror}") from error
    return account


def _video(result: Aligned) -> VideoReport:
    num_words = len(result.transcript.words) if result.transcript is not None else 0
    return VideoReport(
        id=result.video.id,
        outcome=result.outcome.value,
        reason=result.reason,
        num_words=num_words,
        words_per_second=round(num_words / max(result.video.duration_seconds, 1e-9), 3),
        dropped_words=dict(_dropped(result)),
        notes=result.notes,
    )


def _dropped(result: Aligned) -> Counter[str]:
    return Counter() if result.transcript is None else dropped_words(result.transcript)
