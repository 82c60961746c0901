"""Commands that take groups of options whole."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from svlm_cli.commands.groups import Without, grouped


@dataclass(frozen=True, slots=True)
class Size:
    """Of a box."""

    width: Annotated[int, typer.Option("--width", help="In cells.", min=1)] = 3
    height: Annotated[int, typer.Option("--height", help="In cells.")] = 4


TALL = Size(height=9)


def app(command: object) -> typer.Typer:
    made = typer.Typer()
    made.command()(command)  # type: ignore[type-var]
    return made


def test_a_group_comes_whole_with_what_was_typed_and_what_was_not() -> None:
    seen: list[object] = []

    @grouped
    def box(name: Annotated[str, typer.Argument()], *, size: Size, fast: bool = False) -> None:
        seen.extend([name, size, fast])

    assert CliRunner().invoke(app(box), ["a", "--height", "7", "--fast"]).exit_code == 0
    assert seen == ["a", Size(3, 7), True]
    assert CliRunner().invoke(app(box), ["a", "--width", "0"]).exit_code == 2


def test_a_command_may_have_other_defaults_and_leave_options_out() -> None:
    seen: list[Size] = []

    @grouped
    def box(*, size: Annotated[Size, Without("width")] = TALL) -> None:
        seen.append(size)

    assert list(inspect.signature(box).parameters) == ["height"]
    assert CliRunner().invoke(app(box), []).exit_code == 0
    assert CliRunner().invoke(app(box), ["--height", "2"]).exit_code == 0
    assert CliRunner().invoke(app(box), ["--width", "2"]).exit_code == 2
    assert seen == [TALL, Size(3, 2)]


def test_what_cannot_be_is_refused_when_the_command_is_made() -> None:
    def twice(*, size: Size, width: int = 1) -> None:
        """Two options of one name."""

    def unknown(*, size: Annotated[Size, Without("depth")]) -> None:
        """No such field."""

    with pytest.raises(TypeError, match="width twice"):
        grouped(twice)
    with pytest.raises(TypeError, match="no depth"):
        grouped(unknown)
