"""The options of ``svlm bench`` alone: names, units, meanings; defaults stand with the groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from svlm_cli.bench.speed.plan import SpeedClock
from svlm_cli.commands.options import MODEL_PANEL, OUTPUT_PANEL, choices, finite, option
from svlm_cli.settings import Policy

MATCHES_PANEL = "Matches"
SPEED_PANEL = "Measuring"

Grid = Annotated[
    Path | None,
    option(
        MATCHES_PANEL,
        "--grid FILE",
        "YAML that lists runs with what each changes, e.g. recipes/bench_arena_grid.yaml; one table for all.",
        show_default="one run of the options given",
    ),
]
Workers = Annotated[
    int, option(MODEL_PANEL, "--workers N", "Processes that share the matches, a model in each.", min=1)
]
ThreadsPerWorker = Annotated[int, option(MODEL_PANEL, "--threads N", "CPU threads of each worker.", min=1)]
Folder = Annotated[
    Path,
    option(
        OUTPUT_PANEL,
        "--out DIR",
        "Folder for results.jsonl, summary.json, report.md and plots; what is there is not repeated.",
    ),
]

Packed = Annotated[
    bool,
    option(
        MODEL_PANEL,
        "--packed/--not-packed",
        "Weights laid out once for the CPU's kernels, as svlm stream has them, or as torch has them.",
    ),
]


@dataclass(frozen=True, slots=True)
class Matchday:
    """Which matches."""

    matches: Annotated[int, option(MATCHES_PANEL, "--matches N", "How many matches to stream.", min=1)] = 20
    minutes: Annotated[
        float,
        option(MATCHES_PANEL, "--minutes MINUTES", "Length of each match, in minutes.", callback=finite),
    ] = 30.0
    seed: Annotated[
        int,
        option(
            MATCHES_PANEL,
            "--seed N",
            "Seed of the first match; the others follow. All must be below 10000: no training uses those.",
            min=0,
        ),
    ] = 0
    grid: Grid = None


@dataclass(frozen=True, slots=True)
class Timing:
    """What is measured, and how long."""

    seconds: Annotated[
        float,
        option(
            SPEED_PANEL,
            "--seconds SECONDS",
            "Seconds of stream for each policy; a shorter source is shown again.",
            callback=finite,
        ),
    ] = 60.0
    policy: Annotated[
        list[Policy] | None,
        option(
            SPEED_PANEL,
            f"--policy {choices(Policy)}",
            "What the cache keeps; repeat for several.",
            show_default="all four",
        ),
    ] = None
    grid: Annotated[
        Path | None,
        option(
            SPEED_PANEL,
            "--grid FILE",
            "YAML that lists runs with what each changes, e.g. recipes/bench_fps_grid.yaml; one table for "
            "all.",
            show_default="one run per policy",
        ),
    ] = None
    find_max_fps: Annotated[
        bool,
        option(
            SPEED_PANEL,
            "--find-max-fps",
            "Search the highest FPS that keeps real time, with the first policy.",
        ),
    ] = False
    floor_steps: Annotated[
        int,
        option(
            SPEED_PANEL,
            "--floor-steps N",
            "Steps at the end of each run that are compared with bare kernels of their shapes; 0 for none.",
            min=0,
        ),
    ] = 4
    clock: Annotated[
        SpeedClock,
        option(
            SPEED_PANEL,
            f"--clock {choices(SpeedClock)}",
            "Count time that passes, or this process's CPU time (where others share the machine; not on "
            "CUDA).",
        ),
    ] = SpeedClock.WALL
