"""The grid of ``svlm bench fps``."""

from __future__ import annotations

from pathlib import Path

from svlm_cli.bench.common.grid import Entry, load_entries
from svlm_cli.bench.speed.plan import NamedSettings
from svlm_cli.errors import UsageError
from svlm_cli.settings import StreamSettings


def load_speed_grid(path: Path, base: StreamSettings) -> tuple[NamedSettings, ...]:
    """Read the runs of a grid for ``svlm bench fps``.

    Args:
        path, base: see ``load_entries``.

    Raises:
        SvlmError, UsageError: see ``load_entries``; ``sink: opening`` too, which is the arena's.
    """

    def run(entry: Entry) -> NamedSettings:
        if entry.sink_is_opening:
            raise UsageError(f"run {entry.name!r}: sink: opening is for matches of the arena")
        return NamedSettings(entry.name, entry.settings, entry.paper)

    return load_entries(path, base, run, {}, "recipes/bench_fps_grid.yaml")
