"""The words of a video with their times, as the commands pass them on: ``DIR/transcripts/ID.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from svlm_cli.errors import SourceError
from svlm_cli.files import whole_file

FOLDER = "transcripts"
TIME_TOLERANCE_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A spoken word, in seconds of its video.

    Args:
        text: without blanks around it.
        start_seconds, end_seconds: when.
        probability: of a recogniser, 0 to 1; None where nobody said.
    """

    text: str
    start_seconds: float
    end_seconds: float
    probability: float | None = None

    @property
    def second(self) -> int:
        """The second (s, s + 1] it ends in."""
        return math.ceil(self.end_seconds - TIME_TOLERANCE_SECONDS) - 1


def lines_by_second(words: Sequence[TimedWord], start_second: int, end_second: int) -> list[str]:
    """What is said in each second of [start, end), empty when silent."""
    said: list[list[str]] = [[] for _ in range(end_second - start_second)]
    for word in words:
        if start_second <= word.second < end_second:
            said[word.second - start_second].append(word.text)
    return [" ".join(words) for words in said]


def transcript_path(folder: Path, video_id: str) -> Path:
    """Where the transcript of a video lies."""
    return folder / FOLDER / f"{video_id}.json"


def write_transcript(path: Path, words: Sequence[TimedWord]) -> None:
    """Write ``{"words": [...], "seconds": [...]}``, all of it or nothing.

    ``words`` hold text, start_seconds, end_seconds and probability; ``seconds`` what is said in each
    second, up to the last word.
    """
    last = max((word.second for word in words), default=-1)
    document = {
        "words": [asdict(word) for word in words],
        "seconds": lines_by_second(words, 0, last + 1),
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def read_transcript(path: Path) -> list[TimedWord]:
    """Read what ``write_transcript`` wrote.

    Raises:
        SourceError: the file is missing or is no transcript.
    """
    try:
        words = json.loads(path.read_text(encoding="utf-8"))["words"]
        return [
            TimedWord(
                str(word["text"]),
                float(word["start_seconds"]),
                float(word["end_seconds"]),
                word.get("probability"),
            )
            for word in words
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"the transcript {path} cannot be read: {error!r}") from error
