"""Caption tracks of a video on the web, as yt-dlp tells them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svlm_cli.errors import SourceError
from svlm_cli.language import is_language

FORMATS = "vtt/srt/json3/srv3/ttml/dfxp/srv1/best"
"""In which captions are taken, the first that there is."""
_KINDS = ("subtitles", "automatic_captions")
_LIVE_CHAT = "live_chat"  # which YouTube lists among them


def caption_track(facts: Mapping[str, Any], language: str | None) -> str | None:
    """Name of the caption track in a language: one that people wrote before one that was recognised."""
    for kind in _KINDS if language else ():
        names = [str(name) for name in facts.get(kind) or {} if is_language(str(name), str(language))]
        if names:
            return min(names, key=lambda name: (name != language, "orig" not in name, len(name), name))
    return None


def caption_tracks(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The caption tracks of a video: those that people wrote, else those that were recognised."""
    for kind in _KINDS:
        names = sorted(str(name) for name in facts.get(kind) or {} if name != _LIVE_CHAT)
        if names:
            return tuple(names)
    return ()


def downloaded_captions(facts: Mapping[str, Any] | None, name: str) -> Path:
    """The file of a caption track that yt-dlp has downloaded.

    Raises:
        SourceError: there is none.
    """
    told = (facts or {}).get("requested_subtitles") or {}
    paths = [Path(str(each["filepath"])) for each in told.values() if each and each.get("filepath")]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise SourceError(f"network: the captions {name} left no file", "run the same command again")
    return found[0]
