"""A strict reader of SubRip, written for the tests alone."""

from __future__ import annotations

import re

TIMING = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})")


def seconds(stamp: str) -> float:
    hours, minutes, whole, milliseconds = map(int, TIMING.fullmatch(stamp).groups())
    return hours * 3600 + minutes * 60 + whole + milliseconds / 1000


def parse_srt(text: str) -> list[tuple[float, float, str]]:
    """Strict: numbered from 1, one timing line, one line of text or two, one empty line."""
    if not text:
        return []
    assert text.endswith("\n\n")
    cues = []
    for number, block in enumerate(text.removesuffix("\n\n").split("\n\n"), 1):
        index, timing, *lines = block.split("\n")
        assert 1 <= len(lines) <= 2
        words = "\n".join(lines)
        assert int(index) == number
        start, end = timing.split(" --> ")
        assert "," in start
        assert "," in end
        cues.append((seconds(start), seconds(end), words))
    return cues
