from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli.bench.arena.grid import load_grid
from svlm_cli.bench.arena.runs import ArenaPlan, ArenaRun
from svlm_cli.bench.common.frames import Frames
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.settings import Policy, Sampling, StreamSettings

BASE = StreamSettings(sampling=Sampling(greedy=True), sink=100)
SHIPPED = Path(__file__).resolve().parents[3] / "recipes" / "bench_arena_grid.yaml"


def grid(tmp_path: Path, text: str) -> tuple[ArenaRun, ...]:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return load_grid(path, BASE)


def test_a_run_changes_what_it_names(tmp_path: Path) -> None:
    runs = grid(
        tmp_path,
        "runs:\n  - name: plain\n  - {name: all, policy: window, sink: 1, text_window: 2, vision_window: 4,"
        " rounds: 3, restart_seconds: 50, fps: 8, frames: blank}\n  - {name: told, sink: opening}\n",
    )
    assert runs[0] == ArenaRun("plain", BASE)
    settings = replace(
        BASE,
        policy=Policy.WINDOW,
        sink=1,
        text_window=2,
        vision_window=4,
        rounds=3,
        restart_seconds=50,
        fps=8,
    )
    assert runs[1] == ArenaRun("all", settings, Frames.BLANK)
    assert runs[2].sink_is_opening
    assert runs[2].identity()["sink"] == "opening"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs: []", "lists no runs"),
        ("- name: x", "one key, runs"),
        ("runs: [{name: x}]\nmore: 1", "one key, runs"),
        ("runs: [", "is not YAML"),
        ("runs: [{sink: 3}]", "run 1 has no name"),
        ("runs: [{name: x}, {name: x}]", "two runs are named 'x'"),
        ("runs: [{name: x, snik: 3}]", "unknown key 'snik' (did you mean sink?)"),
        ("runs: [{name: x, policy: some}]", "policy must be one of streaming"),
        ("runs: [{name: x, policy: [full]}]", "policy must be one of streaming"),
        ("runs: [{name: x, frames: gone}]", "frames must be one of shown, shuffled, blank"),
        ("runs: [{name: x, sink: 1.5}]", "sink must be a whole number"),
        ("runs: [{name: x, text_window: opening}]", "text_window must be a whole number"),
        ("runs: [{name: x, fps: true}]", "fps must be a number"),
        ("runs: [{name: x, fps: 3}]", "run 'x': --fps 3"),
        ("runs: [{name: x, sink: -1}, {name: y, rounds: 0}]", "--rounds must be 1 or more"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        grid(tmp_path, text)
    assert expected in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SvlmError, match="cannot read"):
        load_grid(tmp_path / "none.yaml", BASE)


def test_the_shipped_grid_holds_the_ablations() -> None:
    runs = {run.name: run for run in load_grid(SHIPPED, StreamSettings(sampling=Sampling(greedy=True)))}
    assert {run.settings.policy for run in runs.values()} == set(Policy)
    assert {run.frames for run in runs.values()} == set(Frames)
    assert runs["no sink"].settings.sink == 0
    assert runs["no text window"].sink_is_opening
    assert runs["no text window"].settings.text_window == 0
    assert len({str(run.identity()) for run in runs.values()}) == len(runs)


def test_only_unseen_seeds() -> None:
    run = ArenaRun("x", BASE)
    assert list(ArenaPlan((run,), first_seed=9_998, num_matches=2).seeds) == [9_998, 9_999]
    for first, num in ((9_999, 2), (1_000_000, 1), (0, 10_001)):
        with pytest.raises(UsageError, match="not all unseen"):
            ArenaPlan((run,), first_seed=first, num_matches=num)
    for minutes in (0.0, 0.51, -1.0, float("inf")):
        with pytest.raises(UsageError, match="whole seconds"):
            ArenaPlan((run,), minutes=minutes)


def test_only_greedy_words_by_the_second() -> None:
    with pytest.raises(UsageError, match="greedy"):
        ArenaRun("x", StreamSettings())
    with pytest.raises(UsageError, match="1 s"):
        ArenaRun("x", replace(BASE, step_seconds=2.0))


@pytest.mark.parametrize(
    "content",
    [
        b"runs: \xff",
        b"[" * 10_000,
        b"runs: [{name: a, fps: .inf}]",
        b"runs: [{name: a, sink: 1" + b"0" * 400 + b"}]",
        b"runs: []\nruns: []",
        b"runs: &a [*a]",
    ],
)
def test_a_grid_of_odd_bytes_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "grid.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"grid\.yaml") as caught:
        load_grid(path, StreamSettings())
    assert len(str(caught.value)) < 600
