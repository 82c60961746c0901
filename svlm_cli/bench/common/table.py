"""A table as a value: Markdown in ``report.md``; a terminal draws it its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

RowT = TypeVar("RowT")
Column = tuple[str, Callable[[RowT], str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text under titles.

    Args:
        titles: of the columns; two may have the same.
        rows: a cell for each title.
        scores: numbers of the columns that hold what was found, what matters most first; those that are
            neither scores nor names say how it was found.
        num_names: how many columns, from the first on, name a row together.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    scores: tuple[int, ...] = ()
    num_names: int = 1

    def __post_init__(self) -> None:
        if any(len(row) != len(self.titles) for row in self.rows):
            raise ValueError("every row must have a cell for each title")
        if any(not self.num_names <= number < len(self.titles) for number in self.scores):
            raise ValueError("a score must be a column behind the names")

    def markdown(self) -> str:
        """As it stands in a report."""
        lines = [[cell(title) for title in self.titles], ["---"] * len(self.titles)]
        lines += [[cell(text) for text in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tabled(
    names: Sequence[Column[RowT]],
    facts: Sequence[Column[RowT]],
    scores: Sequence[Column[RowT]],
    rows: Sequence[RowT],
    first: Sequence[str] = (),
) -> Table:
    """The table of some rows.

    Args:
        names, facts, scores: titles, and how a cell is made of a row.
        rows: whatever the columns make cells of.
        first: titles of the scores that matter most, in their order.
    """
    columns = [*names, *facts, *scores]
    numbers = range(len(names) + len(facts), len(columns))
    ordered = sorted(
        numbers, key=lambda each: first.index(columns[each][0]) if columns[each][0] in first else len(first)
    )
    return Table(
        tuple(title for title, _ in columns),
        tuple(tuple(text(row) for _, text in columns) for row in rows),
        tuple(ordered),
        len(names),
    )


def table(columns: Sequence[Column[RowT]], rows: Sequence[RowT]) -> str:
    """A Markdown table."""
    return tabled(columns[:1], columns[1:], [], rows).markdown()


def cell(text: str) -> str:
    """Text that cannot break a table."""
    return text.replace("|", "\\|").replace("\n", " ")
