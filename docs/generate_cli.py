"""Write docs/cli.md from the command line itself, so that the two cannot differ.

Run ``python docs/generate_cli.py`` to write it and ``python docs/generate_cli.py --check`` to compare:
the exit code is 1 if the file is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer

from svlm_cli.cli import app
from svlm_cli.commands.examples import HEADING
from svlm_cli.types import AnswerEvent, EndEvent, StartEvent, StepEvent, StepTimings, WarningEvent

PAGE = Path(__file__).with_name("cli.md")

INTRODUCTION = """<!-- Written by docs/generate_cli.py: change the help texts, not this page. -->

# Command line

Standard output is data, standard error is talk. Exit codes: 0 done, 1 a failure that the error line explains,
2 wrong usage, 130 interrupted (143 by SIGTERM) with outputs complete up to there. Errors are one line, with a
traceback only under `--verbose`. `NO_COLOR` is honoured.
"""

STREAM_OUTPUTS = """**What it writes**

Captions have one cue per spoken step and none for silent ones. Every file is valid at any moment, also after
a kill. A file that was there before is kept as `words.vtt.1` when the first step arrives, unless there is
`--overwrite`. If one output fails on the way (a full disk), the others go on, the summary names it, and the
exit code is 1.

`--json` and `.jsonl` files hold the same lines. Their `type` says which fields follow; only a stream that was
killed has no `end`.

| type | fields |
|---|---|
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.default
    if parameter.required:
        return "required"
    if value is None or value is False or value == "":
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name}`"
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(f"`{_cell(name + value)}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _table(parameters: list[Any]) -> str:
    rows = [f"| {_name(each)} | {_cell(each.help or '')} | {_cell(_default(each))} |" for each in parameters]
    return "\n".join(["| name | meaning | default |", "|---|---|---|", *rows])


def _panels(command: Any) -> str:
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if not parameter.hidden:
            panels.setdefault(parameter.rich_help_panel or "", []).append(parameter)
    return "\n\n".join(
        f"**{name}**\n\n{_table(each)}" if name else _table(each) for name, each in panels.items()
    )


def _help(command: Any) -> str:
    """What it says of itself, its examples as a block of code."""
    parts = []
    for part in command.help.split("\n\n"):
        heading, _, lines = part.partition("\n")
        parts.append(f"```bash\n{dedent(lines)}\n```" if heading == HEADING else part)
    return "\n\n".join(parts)


def _event_rows() -> str:
    rows = []
    for kind, event in {
        "start": StartEvent,
        "step": StepEvent,
        "answer": AnswerEvent,
        "warning": WarningEvent,
        "end": EndEvent,
    }.items():
        names = [each.name for each in fields(event)]
        rows.append(f"| `{kind}` | `{' '.join(names)}` |")
    text = "\n".join(rows) + "\n"
    timings = " ".join(each.name for each in fields(StepTimings))
    text = text.replace(" settings at_seconds utc`", " at_seconds utc` and every setting by its option name")
    return text.replace(" timings ", f" timings (in seconds: {timings}) ")


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, those of a group after the group."""
    for name, command in sorted(group.commands.items()):
        yield " ".join((*path, name)), command
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))


def page() -> str:
    """The whole page, as Markdown."""
    root = typer.main.get_command(app)
    sections = [INTRODUCTION, f"## svlm\n\n{_help(root)}\n\n{_panels(root)}\n"]
    for name, command in _commands(root):
        sections.append(f"## svlm {name}\n\n{_help(command)}\n\n{_panels(command)}\n")
        if name == "stream":
            sections.append(STREAM_OUTPUTS + _event_rows())
    return "\n".join(sections)


def main() -> int:
    """Write the page, or compare it under ``--check``."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE} is out of date: run python docs/generate_cli.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
