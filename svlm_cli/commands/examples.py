"""Help that begins with examples: what to type stands before the options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import typer

HEADING = "Examples:"
WIDTH = 76
_INDENT = "    "

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def help_of(about: str, examples: str) -> str:
    """A command's help: its first paragraph, the examples, then the rest.

    Args:
        about: a docstring, or a text of the same form.
        examples: a command a line; long ones are broken before an option, so that they can be copied.
    """
    first, *rest = inspect.cleandoc(about).split("\n\n")
    shown = "\n".join([HEADING, *(line for each in examples.strip().splitlines() for line in broken(each))])
    return "\n\n".join([_joined(first), shown, *(_joined(each) for each in rest)])


def shown(app: typer.Typer, examples: str) -> Callable[[CommandT], CommandT]:
    """A decorator that gives an app a command whose help begins with examples."""

    def add(command: CommandT) -> CommandT:
        return app.command(help=help_of(command.__doc__ or "", examples))(command)

    return add


def broken(command: str) -> Iterator[str]:
    """A command in lines of at most ``WIDTH`` columns where it has options to break before."""
    line = ""
    for number, word in enumerate(command.replace(" -", "\n-").split("\n")):
        if number and len(line) + len(word) + len(" \\ ") > WIDTH:
            yield f"{line} \\"
            line = f"{_INDENT}{word}"
        else:
            line += f" {word}" if number else word
    yield line


def _joined(paragraph: str) -> str:
    """A paragraph in one line, which the terminal breaks."""
    return " ".join(paragraph.replace("``", "`").split())
