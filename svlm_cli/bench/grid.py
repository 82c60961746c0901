"""An ablation grid from YAML: ``runs``, a list of names with what each changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import yaml

from svlm_cli.bench.frames import Frames
from svlm_cli.bench.runs import Run
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.settings import Policy, Positions, StreamSettings

OPENING = "opening"
_NUMBERS = ("fps", "vision_window", "restart_seconds")
_COUNTS = ("sink", "text_window", "rounds")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "policy": tuple(Policy),
    "positions": tuple(Positions),
    "frames": tuple(Frames),
}
KEYS = ("name", *_CHOICES, *_COUNTS, *_NUMBERS)
_HINT = "recipes/bench_arena_grid.yaml is an example"


def load_grid(path: Path, base: StreamSettings) -> tuple[Run, ...]:
    """Read the runs of a grid.

    Args:
        path: YAML; each run has a ``name`` and any other of ``KEYS``. ``sink: opening`` is a sink that
            holds exactly the opening text.
        base: settings for what a run does not name.

    Raises:
        SvlmError: the file cannot be read.
        UsageError: it is no such grid; all that is wrong with it at once.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SvlmError(f"cannot read {path}: {error.strerror}", _HINT) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}", _HINT) from error
    if not isinstance(content, dict) or list(content) != ["runs"] or not isinstance(content["runs"], list):
        raise UsageError(f"{path} must hold one key, runs, with a list of runs", _HINT)
    if not content["runs"]:
        raise UsageError(f"{path} lists no runs", _HINT)
    runs, problems = [], []
    for number, entry in enumerate(content["runs"], start=1):
        try:
            runs.append(_run(entry, base, number))
        except UsageError as error:
            problems.append(str(error))
    names = [run.name for run in runs]
    problems += [f"two runs are named {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise UsageError(f"{path}: {'; '.join(problems)}", _HINT)
    return tuple(runs)


def _run(entry: object, base: StreamSettings, number: int) -> Run:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise UsageError(f"run {number} has no name")
    name = " ".join(entry["name"].split())
    problems = [problem for key, value in entry.items() if (problem := _problem(str(key), value))]
    if problems:
        raise UsageError(f"run {name!r}: {', '.join(problems)}")
    changes = {key: value for key, value in entry.items() if key not in ("name", "frames")}
    is_opening = changes.get("sink") == OPENING
    if is_opening:
        changes["sink"] = 0
    try:
        settings = replace(base, **changes)
    except UsageError as error:
        raise UsageError(f"run {name!r}: {error}") from error
    return Run(name, settings, Frames(entry.get("frames", Frames.SHOWN)), is_opening)


def _problem(key: str, value: object) -> str:
    """What is wrong with one key of a run; empty where nothing is."""
    if key not in KEYS:
        close = get_close_matches(key, KEYS, n=1)
        return (
            f"unknown key {key!r} ({f'did you mean {close[0]}?' if close else 'known: ' + ', '.join(KEYS)})"
        )
    if key in _CHOICES:
        valid = _CHOICES[key]
        return "" if value in valid else f"{key} must be one of {', '.join(valid)}, not {value!r}"
    if key == "sink" and value == OPENING:
        return ""
    kinds = int if key in _COUNTS else int | float
    if key in (*_COUNTS, *_NUMBERS) and (isinstance(value, bool) or not isinstance(value, kinds)):
        return f"{key} must be a {'whole ' if key in _COUNTS else ''}number, not {value!r}"
    return ""
