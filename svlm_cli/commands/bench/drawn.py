"""What a benchmark found, on standard output: tables drawn on a terminal, Markdown anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from svlm_cli.bench.common.table import Table
from svlm_cli.commands.output import TalkConsole, emit

HEADING = "## "
LEAST_NAME_COLUMNS, MOST_NAME_COLUMNS = 12, 30
_GAP = 2  # columns between two cells


def show_found(parts: Sequence[Table | str], out: TextIO | None = None) -> None:
    """Print tables and what is said of them; a line that begins with ``## `` is a heading.

    Raises:
        ReaderGone: the reading end of a pipe is closed.
        OutputError: standard output cannot be written.
    """
    out = out or sys.stdout
    if not out.isatty():
        told = (part.markdown() if isinstance(part, Table) else part for part in parts)
        emit("\n\n".join(told), out)
        return
    console = TalkConsole(out)
    for part in parts:
        console.print(drawn(part, console.width) if isinstance(part, Table) else _said(part), soft_wrap=False)


def drawn(table: Table, width: int) -> RenderableType:
    """A table for a terminal: what was found first, how it was found below; no wider than the terminal.

    Few rows stand side by side, a line for each score; many have a line each, and as many tables as it takes.
    """
    differing = [number for number in _facts(table) if len({row[number] for row in table.rows}) > 1]
    columns = [*table.scores, *differing]
    if _side_by_side(table, columns, width):
        parts: list[RenderableType] = [_turned(table, columns, width), ""]
    else:
        blocks = _blocks(table, columns, width)
        parts = [part for block in blocks for part in (_upright(table, block, width), "")]
    for number in _facts(table):
        if number not in differing and table.rows:
            parts.append(Text.assemble((f"{table.titles[number]}: ", "dim"), table.rows[0][number]))
    return Group(*parts, "")


def _said(part: str) -> Text:
    is_heading = part.startswith(HEADING)
    return Text(f"{part.removeprefix(HEADING)}\n", style="bold" if is_heading else "")


def _facts(table: Table) -> list[int]:
    return [number for number in range(table.num_names, len(table.titles)) if number not in table.scores]


def _name(table: Table, row: Sequence[str]) -> str:
    return ": ".join(row[: table.num_names])


def _side_by_side(table: Table, columns: Sequence[int], width: int) -> bool:
    """Whether a column for each row fits beside the titles, no cell broken within a word."""
    titles = max((_longest_word(table.titles[number]) for number in columns), default=0)
    taken = max(titles, LEAST_NAME_COLUMNS)
    return taken + sum(_GAP + _row_width(table, row, columns) for row in table.rows) <= width


def _row_width(table: Table, row: Sequence[str], columns: Sequence[int]) -> int:
    """The least that shows every figure of a row in one line, where it is a column."""
    return max(_longest_word(_name(table, row)), *(_cell_width(row[number]) for number in columns), 1)


def _column_width(table: Table, number: int) -> int:
    """The least that shows every figure of a column in one line."""
    return max(_longest_word(table.titles[number]), *(_cell_width(row[number]) for row in table.rows), 1)


def _cell_width(text: str) -> int:
    """What a cell needs: a figure stands in one line, a fact may be broken between words."""
    return cell_len(text) if any(letter.isdigit() for letter in text[:1]) else _longest_word(text)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _turned(table: Table, columns: Sequence[int], width: int) -> Grid:
    """A line for each score, a column for each row."""
    titles = [table.titles[number] for number in columns]
    least = [_row_width(table, row, columns) for row in table.rows]
    most = [
        max(map(cell_len, (_name(table, row), *(row[number] for number in columns)))) for row in table.rows
    ]
    labels = min(max(map(cell_len, titles), default=1), width - sum(least) - _GAP * len(least))
    grid = _grid()
    grid.add_column(table.titles[table.num_names - 1], overflow="fold", width=labels)
    for row, wide in zip(table.rows, _widened(least, most, width - labels), strict=True):
        grid.add_column(Text(_name(table, row)), justify="right", overflow="fold", width=wide)
    for number in columns:
        style = "bold" if (number,) == table.scores[:1] else ""
        grid.add_row(Text(table.titles[number]), *(Text(row[number]) for row in table.rows), style=style)
    return grid


def _widened(least: Sequence[int], most: Sequence[int], room: int) -> Iterator[int]:
    """Columns as wide as they would like to be, as far as there is room beyond the least of all."""
    spare = room - sum(least) - _GAP * len(least)
    for narrow, wide in zip(least, most, strict=True):
        more = max(0, min(wide - narrow, spare))
        spare -= more
        yield narrow + more


def _blocks(table: Table, columns: Sequence[int], width: int) -> Iterator[list[int]]:
    """The columns, as many at once as fit beside the names."""
    room = width - _name_width(table, width) - _GAP
    block: list[int] = []
    taken = 0
    for number in columns:
        needed = min(room, _GAP + _column_width(table, number))
        if block and taken + needed > room:
            yield block
            block, taken = [], 0
        block.append(number)
        taken += needed
    if block or not columns:
        yield block


def _name_width(table: Table, width: int) -> int:
    widest = max((cell_len(_name(table, row)) for row in table.rows), default=0)
    return min(widest, MOST_NAME_COLUMNS, width // 2)


def _upright(table: Table, columns: Sequence[int], width: int) -> Grid:
    """A line for each row."""
    names = _name_width(table, width)
    least = [min(_column_width(table, number), width - names - _GAP) for number in columns]
    cells = [[table.titles[number], *(row[number] for row in table.rows)] for number in columns]
    most = [max(map(cell_len, each)) for each in cells]
    grid = _grid()
    grid.add_column(table.titles[table.num_names - 1], overflow="fold", width=names)
    for number, wide in zip(columns, _widened(least, most, width - names), strict=True):
        title, justify = Text(table.titles[number]), "right" if number in table.scores else "left"
        grid.add_column(title, justify=justify, overflow="fold", width=wide)  # type: ignore[arg-type]
    for row in table.rows:
        grid.add_row(Text(_name(table, row)), *(Text(row[number]) for number in columns))
    return grid


def _grid() -> Grid:
    return Grid(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
