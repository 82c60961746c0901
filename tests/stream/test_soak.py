"""The long run of docs/reliability.md, seconds long: cuts and returns are told, nothing is left open."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def soak() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("live_soak")


def test_a_broadcast_that_is_cut_again_and_again(soak) -> None:
    found = soak.live_soak(minutes=0.15, num_cuts=2, num_viewers=2, fps=2.0, threads=1)
    wrong = [sentence for sentence in soak.faults(found, 2) if not sentence.startswith("memory")]  # warms up
    assert wrong == [], found
    assert found["spoken"] > 0
    assert min(found["events_seen_by_viewers"]) >= found["stopped"] + found["back"]
    assert found["state_bytes"] > 100_000


def test_growth_and_silence_are_faults(soak) -> None:
    good = {
        "exit_code": 130,
        "stopped": 3,
        "back": 3,
        "spoken": 9,
        "captions": 9,
        "rss_mib": [400.0, 410.0],
        "files": [14, 14],
        "threads": [11, 12],
        "most": {"files": 16},
        "left_beside_state": [],
    }
    assert soak.faults(good, 3) == []
    bad = {
        "rss_mib": [400.0, 430.0],
        "files": [14, 20],
        "threads": [11, 40],
        "back": 1,
        "exit_code": 1,
        "captions": 8,
    }
    assert len(soak.faults(good | bad, 3)) == 6
    assert soak.faults(good | {"most": {"files": 60}}, 3) == ["at most 60 files were open"]
