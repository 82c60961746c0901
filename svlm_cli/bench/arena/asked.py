"""The figures of a run whose matches were streamed with questions, beside the same matches without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svlm_cli.bench.arena.answers import ALL_ANSWERS, ASKED, LOST, PLAIN, YES_NO, Where, cell_name, told_name
from svlm_cli.bench.arena.scored import LABELS, Decay, ScoredMatch
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, rounded
from svlm_cli.bench.common.table import Table, table, tabled
from svlm_cli.bench.common.tables import NOTHING, percent_text

ASKED_LABELS = {
    **{name: name.replace("_", " ") for name in ASKED},
    ALL_ANSWERS: "all answers",
    YES_NO: "yes or no",
    "third": "where the ball is",
    "side": "name of a side",
    "not_known_precision": '"not known", precision',
    "not_known_recall": '"not known", recall',
}
PLACE_LABELS = {
    Where.FRAMES.value: "in frames",
    Where.TEXT.value: "in the text window",
    Where.SINK.value: "in the sink",
    Where.ECHO.value: "gone, states that saw it kept",
    Where.GONE.value: "gone",
}
TOLD_LABELS = {told_name(where): f"truth told though {PLACE_LABELS[where.value]}" for where in LOST}
COMPARED = ("event_f1", "full_f1", "team", "free_kick_team", "goal_score", "line_score", "referee")
NUM_QUARTERS = 4
_CELLS = {cell_name(name, where): (name, where.value) for name in (*PLAIN, YES_NO) for where in Where}


@dataclass(frozen=True, slots=True)
class AskedSummary:
    """What became of a run's questions.

    Args:
        run: its name.
        scores: by the names of ``ASKED``.
        places: by where the evidence lay (``Where``), and by question and place (``cell_name``).
        told: how often the truth was told though its evidence had left (``told_name``).
        quarters: ``scores`` of each quarter of the stream.
        decay: the same in the first and the last, with the difference.
        commentary: the scores of ``COMPARED`` with questions.
        change: how much that is above the score without.
    """

    run: str
    scores: Mapping[str, Estimate]
    places: Mapping[str, Estimate]
    told: Mapping[str, Estimate]
    quarters: tuple[Mapping[str, Estimate], ...]
    decay: Mapping[str, Decay]
    commentary: Mapping[str, Estimate]
    change: Mapping[str, Estimate]

    def to_json(self) -> dict[str, object]:
        """Plain values; percentages rounded to two decimals."""
        by_place: dict[str, dict[str, object]] = {
            place: {ALL_ANSWERS: self.places[place].to_json()} for place in PLACE_LABELS
        }
        for cell, (name, place) in _CELLS.items():
            if self.places[cell].num:
                by_place[place][name] = self.places[cell].to_json()
        return {
            "asked": _json(self.scores),
            "asked_by_place": by_place,
            "asked_told": _json(self.told),
            "asked_by_quarter": [
                {name: rounded(each.percent) for name, each in quarter.items()} for quarter in self.quarters
            ],
            "asked_change": {name: each.change.to_json() for name, each in self.decay.items()},
            "commentary_asked": _json(self.commentary),
            "commentary_asked_change": _json(self.change),
        }


def summarize_asked(asked: Sequence[ScoredMatch], unasked: Sequence[ScoredMatch]) -> AskedSummary:
    """The figures of a run from its matches with questions and without, of the same seeds in the same order.

    Raises:
        ValueError: they are of other matches.
    """
    if [match.result.job.seed for match in asked] != [match.result.job.seed for match in unasked]:
        raise ValueError("not the same matches")
    draws = Bootstrap(len(asked))

    def estimates(names: Sequence[str], quarter: int | None = None) -> dict[str, Estimate]:
        tallies = [match.answers if quarter is None else match.answer_quarters[quarter] for match in asked]
        return {name: draws.estimate([tally[name] for tally in tallies]) for name in names}

    decay = {}
    for name in ASKED:
        first, last = ([match.answer_quarters[place][name] for match in asked] for place in (0, -1))
        decay[name] = Decay(draws.estimate(first), draws.estimate(last), draws.change(first, last))
    return AskedSummary(
        run=asked[0].result.job.run.name,
        scores=estimates(ASKED),
        places=estimates([*PLACE_LABELS, *_CELLS]),
        told=estimates([*TOLD_LABELS]),
        quarters=tuple(estimates(ASKED, quarter) for quarter in range(NUM_QUARTERS)),
        decay=decay,
        commentary={name: draws.estimate([match.total[name] for match in asked]) for name in COMPARED},
        change={
            name: draws.change(
                [match.total[name] for match in unasked], [match.total[name] for match in asked]
            )
            for name in COMPARED
        },
    )


def asked_table(found: Sequence[AskedSummary]) -> Table:
    """A row for each question, a column for each run."""
    return _by_run(found, ASKED_LABELS, lambda each: each.scores)


def asked_sections(found: Sequence[AskedSummary]) -> list[str]:
    """All that a report says of questions, as Markdown."""
    places = _by_run(found, PLACE_LABELS, lambda each: each.places)
    told = _by_run(found, TOLD_LABELS, lambda each: each.told)
    cells = "\n\n".join(f"### {each.run}\n\n{_cells_table(each)}" for each in found)
    quarters = "\n\n".join(f"### {each.run}\n\n{_quarters_table(each)}" for each in found)
    return [
        f"## Questions: right answers where they can be known\n\n{asked_table(found).markdown()}",
        f"## Right answers by where the evidence lies\n\n{places.markdown()}\n\n{told.markdown()}",
        f"## By question and place: percent (number)\n\n{cells}",
        f"## By quarter of the stream\n\n{quarters}",
        f"## Commentary with questions, less the same matches without: points\n\n{_change_table(found)}",
    ]


def _by_run(
    found: Sequence[AskedSummary],
    labels: Mapping[str, str],
    scores: Callable[[AskedSummary], Mapping[str, Estimate]],
) -> Table:
    def column(each: AskedSummary) -> tuple[str, Callable[[str], str]]:
        return each.run, lambda name: percent_text(scores(each)[name])

    return tabled([("", lambda name: labels[name])], [], [*map(column, found)], [*labels])


def _cells_table(each: AskedSummary) -> str:
    def column(place: str) -> tuple[str, Callable[[str], str]]:
        return PLACE_LABELS[place], lambda name: _counted(each.places[cell_name(name, Where(place))])

    names = [*PLAIN, YES_NO]
    return table([("", lambda name: ASKED_LABELS[name]), *map(column, PLACE_LABELS)], names)


def _quarters_table(each: AskedSummary) -> str:
    def column(quarter: int) -> tuple[str, Callable[[str], str]]:
        return f"quarter {quarter + 1}", lambda name: percent_text(each.quarters[quarter][name])

    columns = [("", lambda name: ASKED_LABELS[name]), *map(column, range(NUM_QUARTERS))]
    return table([*columns, ("last less first", lambda name: percent_text(each.decay[name].change))], ASKED)


def _change_table(found: Sequence[AskedSummary]) -> str:
    def column(each: AskedSummary) -> tuple[str, Callable[[str], str]]:
        return (
            each.run,
            lambda name: (
                f"{percent_text(each.change[name])} (with questions {percent_text(each.commentary[name])})"
            ),
        )

    return table([("", lambda name: LABELS[name]), *map(column, found)], COMPARED)


def _counted(estimate: Estimate) -> str:
    return NOTHING if estimate.percent is None else f"{estimate.percent:.1f} ({estimate.num})"


def _json(scores: Mapping[str, Estimate]) -> dict[str, object]:
    return {name: each.to_json() for name, each in scores.items()}
