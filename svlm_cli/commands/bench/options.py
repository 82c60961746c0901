"""The options of ``svlm bench`` alone: names, units, meanings; defaults stand with the groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from svlm_cli.bench.speed.plan import SpeedClock
from svlm_cli.commands.options import MODEL_PANEL, OUTPUT_PANEL, choices, finite, option
from svlm_cli.settings import Policy

MATCHES_PANEL = "Matches"
SPEED_PANEL = "Measuring"
MOST_STREAMS = 1024
MOST_BATCH = 256


def grid_option(panel: str, example: str, show_default: str = "one run of the options given") -> Any:
    """The option that names a file of several runs; ``example`` is one that ships."""
    meaning = f"YAML file with several runs and what each one changes, e.g. {example}; all go into one table."
    return option(panel, "--grid FILE", meaning, show_default=show_default)


MoreStreams = Annotated[
    list[int] | None,
    typer.Argument(
        metavar="[N...]",
        help="Further numbers of --streams.",
        hidden=True,
        min=1,
        max=MOST_STREAMS,
        show_default="none",
    ),
]
Workers = Annotated[
    int,
    option(
        MODEL_PANEL,
        "--workers N",
        "Processes that share the matches, each with a model of its own; on a cluster, those of each node.",
        min=1,
    ),
]
Batch = Annotated[
    int,
    option(
        MODEL_PANEL,
        "--batch N",
        "Streams at once through one model, in shared forwards: faster, the same words but for ties.",
        min=1,
        max=MOST_BATCH,
    ),
]
ThreadsPerWorker = Annotated[int, option(MODEL_PANEL, "--threads N", "CPU threads of each worker.", min=1)]
Folder = Annotated[
    Path,
    option(
        OUTPUT_PANEL,
        "--out -o DIR",
        "Folder for results.jsonl, summary.json, report.md and plots. What is stored there is not run again.",
    ),
]

Packed = Annotated[
    bool,
    option(
        MODEL_PANEL,
        "--packed/--not-packed",
        "Lay the weights out once for the CPU's kernels, as svlm stream does, or leave them as "
        "torch has them.",
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
            "Seed of the first match; the others count up from it. All must be below 10000, which "
            "training never uses.",
            min=0,
        ),
    ] = 0
    grid: Annotated[Path | None, grid_option(MATCHES_PANEL, "recipes/bench_arena_grid.yaml")] = None
    ask: Annotated[
        bool,
        option(
            MATCHES_PANEL,
            "--ask",
            "Stream each match a second time and ask its questions: one in 40 s, whose answers are known.",
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class Timing:
    """What is measured, and how long."""

    seconds: Annotated[
        float,
        option(
            SPEED_PANEL,
            "--seconds SECONDS",
            "Seconds of stream for each policy; a shorter source is repeated.",
            callback=finite,
        ),
    ] = 60.0
    policy: Annotated[
        list[Policy] | None,
        option(
            SPEED_PANEL,
            f"--policy {choices(Policy)}",
            "Policy to measure; repeat the option for several.",
            show_default="all four",
        ),
    ] = None
    grid: Annotated[
        Path | None,
        grid_option(SPEED_PANEL, "recipes/bench_fps_grid.yaml", "one run per policy"),
    ] = None
    find_max_fps: Annotated[
        bool,
        option(
            SPEED_PANEL,
            "--find-max-fps",
            "Search for the highest FPS that keeps real time, with the first policy.",
        ),
    ] = False
    streams: Annotated[
        int | None,
        option(
            SPEED_PANEL,
            "--streams N...",
            "Measure so many streams at once through one model against the same streams alone, e.g. "
            "--streams 1 2 4 8; nothing else is measured then.",
            min=1,
            max=MOST_STREAMS,
            show_default="none",
        ),
    ] = None
    floor_steps: Annotated[
        int,
        option(
            SPEED_PANEL,
            "--floor-steps N",
            "Steps at the end of each run to compare with what they must multiply and read; 0 for none.",
            min=0,
        ),
    ] = 4
    clock: Annotated[
        SpeedClock,
        option(
            SPEED_PANEL,
            f"--clock {choices(SpeedClock)}",
            "wall: the time that passes; cpu: the CPU time of this process, for a shared machine (not "
            "on CUDA).",
        ),
    ] = SpeedClock.WALL
