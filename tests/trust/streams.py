"""A short stream of the bundled model with every output, and what its files tell."""

from __future__ import annotations

import json
from pathlib import Path

import webvtt

from tests.strict_srt import parse_srt
from tests.trust.forked import Svlm

MATCH, LIVE = "arena:soccer,seed=5,minutes=1", "arena:soccer,seed=5,minutes=inf"
SMALL = [
    "--sink=8",
    "--text-window=16",
    "--vision-window=2",
    "--rounds=2",
    "--fps=2",
    "--threads=1",
    "--quiet",
]
OUTPUTS = ("x.vtt", "x.srt", "x.jsonl")
TRACE, STATE = "trace", "s.svlm"


def arguments(folder: Path, *more: str) -> list[str]:
    """Of a stream that writes everything into a folder."""
    outputs = [f"--out={folder / name}" for name in OUTPUTS]
    return ["stream", MATCH, *SMALL, *outputs, f"--trace={folder / TRACE}", *more]


def run(folder: Path, *more: str) -> Svlm:
    return Svlm(arguments(folder, *more), folder / "log")


def told(folder: Path) -> dict[str, object]:
    """What the outputs of a folder hold, but for times of day and of work; fails where one is not whole."""
    lines = [json.loads(line) for line in _whole_lines(folder / "x.jsonl")]
    steps = [
        {key: line[key] for key in line if key not in ("timings", "lag_seconds", "utc")} for line in lines
    ]
    return {
        "x.vtt": [(cue.start, cue.end, cue.raw_text) for cue in webvtt.read(str(folder / "x.vtt"))],
        "x.srt": parse_srt((folder / "x.srt").read_text()),
        "x.jsonl": [step for step in steps if step["type"] == "step"],
        TRACE: [json.loads(line) for line in _whole_lines(folder / TRACE)],
    }


def _whole_lines(path: Path) -> list[str]:
    text = path.read_text()
    assert not text or text.endswith("\n")
    return text.splitlines()
