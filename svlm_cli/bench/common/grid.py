"""An ablation grid from YAML: ``runs``, a list of names with what each changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.settings import Policy, Positions, StreamSettings
from svlm_cli.values import short
from svlm_cli.yaml_text import MOST_BYTES, parse_yaml

OPENING = "opening"
_NUMBERS = ("fps", "vision_window", "restart_seconds", "step_seconds")
_COUNTS = ("sink", "text_window", "rounds")
_CHOICES: Mapping[str, tuple[str, ...]] = {"policy": tuple(Policy), "positions": tuple(Positions)}
_MOST = 10**9
SETTINGS = (*_CHOICES, *_COUNTS, *_NUMBERS)

RunT = TypeVar("RunT")


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of a grid as it stands in the file, checked.

    Args:
        name: the name of the run.
        settings: the base with what the entry changes.
        own: the benchmark's own keys that the entry names.
        sink_is_opening: ``sink: opening`` was given.
        paper: what the paper prints for it, as text.
    """

    name: str
    settings: StreamSettings
    own: Mapping[str, Any]
    sink_is_opening: bool
    paper: str | None


def load_entries(
    path: Path,
    base: StreamSettings,
    make: Callable[[Entry], RunT],
    own_keys: Mapping[str, Sequence[str] | type],
    example: str,
) -> tuple[RunT, ...]:
    """Read the runs of a grid.

    Args:
        path: YAML; each run has a ``name`` and any other of ``SETTINGS``, of ``own_keys``, and ``paper``.
            ``sink: opening`` is a sink that holds exactly the opening text.
        base: settings for what a run does not name.
        make: turns an entry into a run; may raise ``UsageError``.
        own_keys: further keys, each with its values or (``float``, ``str``) its type.
        example: a file to look at.

    Raises:
        SvlmError: the file cannot be read.
        UsageError: it is no such grid; all that is wrong with it at once.
    """
    hint = f"{example} is an example"
    runs, problems, names = [], [], []
    for number, entry in enumerate(_entries(path, hint), start=1):
        try:
            checked = _checked(entry, base, number, own_keys)
            names.append(checked.name)
            runs.append(make(checked))
        except UsageError as error:
            problems.append(str(error))
    problems += [f"two runs are named {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise UsageError(f"{path}: {'; '.join(problems)}", hint)
    return tuple(runs)


def _entries(path: Path, hint: str) -> list[object]:
    try:
        content = parse_yaml(read_text(path, MOST_BYTES))
    except OSError as error:
        raise SvlmError(f"cannot read {path}: {error.strerror}", hint) from error
    except MalformedError as error:
        raise UsageError(f"{path}: {error}", hint) from error
    if not isinstance(content, dict) or list(content) != ["runs"] or not isinstance(content["runs"], list):
        raise UsageError(f"{path} must hold one key, runs, with a list of runs", hint)
    if not content["runs"]:
        raise UsageError(f"{path} lists no runs", hint)
    return content["runs"]


def _checked(
    entry: object, base: StreamSettings, number: int, own_keys: Mapping[str, Sequence[str] | type]
) -> Entry:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise UsageError(f"run {number} has no name")
    name = " ".join(entry["name"].split())
    problems = [problem for key, value in entry.items() if (problem := _problem(str(key), value, own_keys))]
    if problems:
        raise UsageError(f"run {name!r}: {', '.join(problems)}")
    changes = {key: value for key, value in entry.items() if key in SETTINGS}
    is_opening = changes.get("sink") == OPENING
    if is_opening:
        changes["sink"] = 0
    try:
        settings = replace(base, **changes)
    except UsageError as error:
        raise UsageError(f"run {name!r}: {error}") from error
    paper = entry.get("paper")
    own = {key: value for key, value in entry.items() if key in own_keys}
    return Entry(name, settings, own, is_opening, None if paper is None else str(paper))


def _problem(key: str, value: object, own_keys: Mapping[str, Sequence[str] | type]) -> str:
    """What is wrong with one key of a run; empty where nothing is."""
    known = ("name", *SETTINGS, *own_keys, "paper")
    if key not in known:
        close = get_close_matches(key, known, n=1)
        return (
            f"unknown key {key!r} ({f'did you mean {close[0]}?' if close else 'known: ' + ', '.join(known)})"
        )
    if key == "paper":
        return "" if isinstance(value, str | int | float) else f"paper must be a figure, not {value!r}"
    if key == "sink" and value == OPENING:
        return ""
    valid = _CHOICES.get(key) or own_keys.get(key)
    if valid is str:
        return "" if isinstance(value, str) and value else f"{key} must be text, not {value!r}"
    if isinstance(valid, Sequence):
        return "" if value in valid else f"{key} must be one of {', '.join(valid)}, not {value!r}"
    kinds = int if key in _COUNTS else int | float
    if (key in (*_COUNTS, *_NUMBERS) or valid is float) and (
        isinstance(value, bool) or not isinstance(value, kinds) or not -_MOST <= value <= _MOST
    ):
        return f"{key} must be a {'whole ' if key in _COUNTS else ''}number, not {short(value)}"
    return ""
