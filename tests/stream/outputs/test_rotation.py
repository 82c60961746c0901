"""Outputs in parts: none too large, every word in one of them, whatever is killed."""

from __future__ import annotations

import html
import json
import os
import random
from pathlib import Path

import pytest
import webvtt

from svlm_cli.errors import UsageError
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.rotation import FileRotation
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import StepEvent
from tests.stream.outputs.streams import said, write_over_kills
from tests.strict_srt import parse_srt

KINDS = ("vtt", "srt", "ttml", "jsonl")


def parts(folder: Path, kind: str) -> list[Path]:
    return [*sorted(folder.glob(f"x.*.{kind}")), folder / f"x.{kind}"]


def words_of(folder: Path) -> list[str]:
    """Of the WebVTT parts, in their order; the same as in the others."""
    found = [
        html.unescape(cue.text) for path in parts(folder, "vtt") for cue in webvtt.read(str(path)).captions
    ]
    told = [text for path in parts(folder, "srt") for *_, text in parse_srt(path.read_text())]
    lines = [json.loads(line) for path in parts(folder, "jsonl") for line in path.read_text().splitlines()]
    steps = [line["text"] for line in lines if line["type"] == "step"]
    words = " ".join(found).split()
    assert [word for word in " ".join(told).split() if "b" not in word] == [w for w in words if "b" not in w]
    assert " ".join(steps).split() == words
    assert all(path.read_text().endswith("</tt>\n") for path in parts(folder, "ttml"))
    return words


def writers_in(folder: Path) -> Writers:
    return Writers([folder / f"x.{kind}" for kind in KINDS], rotation=FileRotation.of("1k"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_file", [True, False])
def test_every_word_is_in_one_part_over_kills(tmp_path: Path, seed: int, is_file: bool) -> None:
    rng = random.Random(seed)
    events = said(rng, 60, 18)
    seconds = sorted(rng.sample(range(3, 60), 3))
    write_over_kills(rng, events, lambda: writers_in(tmp_path), seconds, is_file=is_file)
    assert words_of(tmp_path) == " ".join(event.text for event in events).split()
    assert len(parts(tmp_path, "vtt")) >= 2 < len(parts(tmp_path, "jsonl"))
    assert all(path.stat().st_size < 1600 for kind in KINDS for path in parts(tmp_path, kind))


def test_a_period_ends_by_utc(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    day = FileRotation.of("1d")
    assert not day.is_due(5, 86_400.0 * 20 + 5, 86_400.0 * 21 - 1)
    assert day.is_due(5, 86_400.0 * 21 - 1, 86_400.0 * 21)
    with Writers([path], rotation=day) as writers:
        writers.write(StepEvent(0, 0.0, 1.0, "one", 2, 7, 8, 5))
        lengths, held = writers.lengths, writers.held
    os.utime(path, (1e9, 1e9))  # as if it had stood there for years
    with Writers([path], rotation=day) as writers:
        writers.resume(Earlier(lengths, 1.0, True, held))
        writers.write(StepEvent(1, 1.0, 2.0, "two", 2, 7, 8, 5))
        writers.write(StepEvent(2, 2.0, 3.0, "three", 2, 7, 8, 5))
    lines = [each.read_text().splitlines() for each in parts(tmp_path, "jsonl")]
    texts = [[json.loads(line)["text"] for line in each] for each in lines]
    assert texts == [["one"], ["two", "three"]]


@pytest.mark.parametrize("text", ["", "0d", "1", "d", "1w", "-1d", "1.5G", "1M1", "inf"])
def test_what_is_no_period_and_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--rotate") as refused:
        FileRotation.of(text)
    assert "m, h or d" in refused.value.hint
    assert "k, M or G" in refused.value.hint
