"""The ablation grid of the arena, where a run may also name its frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.common.frames import Frames
from svlm_cli.bench.common.grid import Entry, load_entries
from svlm_cli.settings import StreamSettings

ARENA_KEYS: Mapping[str, tuple[str, ...]] = {"frames": tuple(Frames)}


def load_grid(path: Path, base: StreamSettings) -> tuple[ArenaRun, ...]:
    """Read the runs of a grid for the arena, where a run may also name its ``frames``.

    Args:
        path, base: see ``load_entries``.

    Raises:
        SvlmError, UsageError: see ``load_entries``.
    """

    def run(entry: Entry) -> ArenaRun:
        frames = Frames(entry.own.get("frames", Frames.SHOWN))
        return ArenaRun(entry.name, entry.settings, frames, entry.sink_is_opening, entry.paper)

    return load_entries(path, base, run, ARENA_KEYS, "recipes/bench_arena_grid.yaml")
