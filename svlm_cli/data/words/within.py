"""Captions within a video file: which of its tracks, and what there is where there is none to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from svlm_cli.errors import SourceError
from svlm_cli.media.text_tracks import TextTrack, best_text_track, read_text_track, text_tracks


class NoCaptionsError(SourceError):
    """A file holds no captions that can be read in the language asked for.

    Args:
        tracks: what captions it holds.
        language: the one asked for.
        beside: names of captions in other languages beside it.
    """

    def __init__(self, tracks: Sequence[TextTrack], language: str, beside: Sequence[str] = ()) -> None:
        self.tracks = tuple(tracks)
        there = ", ".join([*map(str, tracks), *(f"{name} beside it" for name in beside)])
        super().__init__(f"none in {language} that can be read; it has {there}" if there else "it has none")


def captions_within(media: Path, language: str) -> tuple[TextTrack, str]:
    """A track of captions of a file, and what it says, as WebVTT.

    Times count from where the file begins, as those of captions beside it do.

    Raises:
        NoCaptionsError: it holds none that can be read in this language; says what it holds.
        SourceError: it cannot be read.
    """
    tracks = text_tracks(str(media))
    found = best_text_track(tracks, language)
    if found is None:
        raise NoCaptionsError(tracks, language)
    return found, read_text_track(str(media), found)
