"""Stored results, read in one place: the lines of ``results.jsonl``, or of a file of its form, run by run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from svlm_cli.bench.common.events import told_apart
from svlm_cli.bench.common.records import Record, put_once, read_lines
from svlm_cli.documents import MalformedError
from svlm_cli.errors import SourceError

RESULTS_NAME = "results.jsonl"

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What must be known of a run beside its name; every line of it carries them.

    Args:
        columns: model, frames, resolution and the like, by the title of their column.
        protocol: the rules it was made by; empty where nobody says.
        paper: what the paper prints for it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    protocol: str = ""
    paper: str | None = None

    @classmethod
    def of_line(cls, told: object) -> RunFacts:
        """From what a line has under ``facts``; in files of others that may be anything."""
        facts = {key: str(value) for key, value in told.items()} if isinstance(told, dict) else {}
        columns = {key: value for key, value in facts.items() if key not in ("protocol", "paper")}
        return cls(columns, facts.get("protocol", ""), facts.get("paper"))

    def to_json(self) -> dict[str, str]:
        """As a line has them."""
        named = {"protocol": self.protocol, "paper": self.paper}
        return {**self.columns, **{name: told for name, told in named.items() if told}}


@dataclass(frozen=True, slots=True)
class LineForm(Generic[ValueT]):
    """The lines of one kind of results.

    Args:
        one, many: what they are: ``answer of OVO-Bench``, ``answers``.
        read: gives a line's name within its run (for people too) and its value; a ``KeyError``,
            ``TypeError`` or ``ValueError`` says that it is no such line.
        hint: what to do where one is none.
        maker: the command that makes them.
    """

    one: str
    many: str
    read: Callable[[Record], tuple[str, ValueT]]
    hint: str
    maker: str


@dataclass(frozen=True, slots=True)
class StoredRun(Generic[ValueT]):
    """The lines of one run.

    Args:
        name: its name, with a number where another model or setting ran under the same one.
        rule: the rule that its answers were taken by; empty where there is one alone.
        facts: as its first line tells them.
        lines: each once, by its name.
    """

    name: str
    rule: str
    facts: RunFacts
    lines: dict[str, ValueT]


def read_runs(path: Path, form: LineForm[ValueT], nameless: str = "") -> list[StoredRun[ValueT]]:
    """Read a file, or the folder that ``generate`` has filled.

    Args:
        nameless: how a run is called whose lines name none; empty where they must.

    Raises:
        SourceError: it cannot be read, holds nothing or a line of another form, or says two things of one;
            says which.
    """
    file = path / RESULTS_NAME if path.is_dir() else path
    found: dict[tuple[str, str, str], StoredRun[ValueT]] = {}
    for number, record in enumerate(read_lines(file, form.many), start=1):
        where = f"line {number} of {file}"
        try:
            name = str(record.get("run") or nameless or record["run"])
            place, value = form.read(record)
        except (KeyError, TypeError, ValueError) as error:
            told = error if isinstance(error, MalformedError) else repr(error)
            raise SourceError(f"{where} is no {form.one}: {told}", form.hint) from error
        rule = str(record.get("rule") or "")
        mark = name, str(record.get("fingerprint")), rule
        run = found.setdefault(mark, StoredRun(name, rule, RunFacts.of_line(record.get("facts")), {}))
        put_once(run.lines, place, value, f"{place} of {name}", where)
    if not found:
        raise SourceError(f"{file} holds no {form.many}", f"{form.maker} makes them")
    names = told_apart([run.name for run in found.values()], [run.rule for run in found.values()])
    return [replace(run, name=name) for name, run in zip(names, found.values(), strict=True)]
