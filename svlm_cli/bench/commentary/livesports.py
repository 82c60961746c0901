"""LiveSports-3K CC: events of sports videos, commentated and judged against a baseline by LiveCC's rules.

Events are rows of the data set ``stdKonjac/LiveSports-3K``, configuration ``LiveSports_3K_CC``, as JSON
Lines; predictions are ``{"video_id", "event_id", "begin", "end", "pred"}`` (github.com/showlab/livecc).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svlm_cli.bench.commentary.pieces import Piece, Said
from svlm_cli.bench.common.events import capped
from svlm_cli.bench.common.published import LIVESPORTS
from svlm_cli.bench.common.records import Record, put_once, read_lines
from svlm_cli.bench.common.results import LineForm, RunFacts, read_runs
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.common.work import find_video
from svlm_cli.bench.judge.contests import Contest, Rules
from svlm_cli.bench.judge.judge import Judging, Vote
from svlm_cli.bench.judge.reading import TIE, read_sentence
from svlm_cli.bench.judge.votes import Stored, judged, win_rate
from svlm_cli.digest import digest
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.values import file_name, numeral, path_text, seconds, text

BASELINE = "GPT-4o"
SEED = 42
COLUMNS: Mapping[str, str] = {"win_rate": "win rate (ties count against)"}
EVEN = 50.0
PROTOCOL = "LiveSports-3K CC, LiveCC's tie rule"
QUERY = "You are an expert commentator. Comment on this video live, with insight, as it happens."
_HINT = "give rows of LiveSports_3K_CC as JSON Lines; docs/bench.md says how to get them"
_SPLIT = re.compile(r"(?:^|[-_.])(val|validation|test)(?:[-_.]|$)")
_BEGINNING = (
    "You know video commentary well. Below are two commentaries on one video, A and B, and what a person "
    "said of it. Which of the two is closer to the person's? First of all it should say the same: sense, "
    "details, main points. Only where that does not decide look at style: tone, words, sentences."
)
OWN_TEMPLATE = f"""{_BEGINNING}

Commentary A:
{{a}}

Commentary B:
{{b}}

The person's commentary:
{{reference}}

Answer with one sentence: "Commentary A is closer" or "Commentary B is closer".
"""


@dataclass(frozen=True, slots=True)
class SportsEvent:
    """A stretch of a video.

    Args:
        video: as the row names it; may be empty.
        video_id, event_id: the video id and event id of the row.
        begin, end: seconds.
        title: the title of the event.
        previous_text: what was said before.
        reference: what a person said in it; empty where the row does not hold it.
        split: ``val`` or ``test``; empty where neither the row nor the name of its file tells.
    """

    video: str
    video_id: str
    event_id: int | str
    begin: float
    end: float
    title: str
    previous_text: str
    reference: str
    split: str = field(default="", compare=False)

    @property
    def labels(self) -> Mapping[str, str]:
        """What win rates are made by."""
        return {"split": self.split} if self.split else {}

    @property
    def id(self) -> str:
        """As in votes."""
        return f"{self.video_id}_{self.event_id}"


def load_events(*paths: Path) -> list[SportsEvent]:
    """Read events: 202 of the validation split and 1,500 of the test split are files of their own.

    Raises:
        SourceError: a file cannot be read or a row is of another form; says which.
    """
    events: dict[str, SportsEvent] = {}
    for path in paths:
        found = _SPLIT.search(path.stem.lower())
        split = _split_of(found[1]) if found else ""
        for number, record in enumerate(read_lines(path, "events"), start=1):
            event = _event(record, split, f"line {number} of {path}")
            put_once(events, event.id, event, event.id, f"line {number} of {path}")
    if not events:
        raise SourceError(f"{', '.join(map(str, paths))} holds no events", _HINT)
    return list(events.values())


def _split_of(name: str) -> str:
    return "val" if name.lower().startswith("val") else name.lower()


def pieces(events: Sequence[SportsEvent], videos: Path) -> tuple[Piece, ...]:
    """The events as stretches to be commentated, told their title and what was said before."""
    return tuple(
        Piece(
            find_video(videos, *([event.video] if event.video else []), f"{event.video_id}.mp4"),
            event.begin,
            event.end,
            event.title,
            event.previous_text,
            {
                "video_id": event.video_id,
                "event_id": event.event_id,
                "begin": event.begin,
                "end": event.end,
            },
        )
        for event in events
    )


def shape(piece: Piece, said: Sequence[Said]) -> dict[str, object]:  # noqa: ARG001 - one of two shapes
    """The fields of a prediction line."""
    return {"pred": " ".join(each.text for each in said)}


@dataclass(frozen=True, slots=True)
class EventPredictions:
    """What one model said of the events.

    Args:
        name: the name of the run.
        texts: the texts by id.
        facts: the facts of the run, for tables.
    """

    name: str
    texts: Mapping[str, str]
    facts: RunFacts


def load_predictions(path: Path) -> EventPredictions:
    """Read predictions: a file, or a folder that ``svlm bench livesports generate`` has filled.

    Raises:
        SourceError: see ``read_runs``.
        UsageError: it holds several runs.
    """
    runs = read_runs(path, _PREDICTIONS, path.stem.removeprefix("pred_"))
    if len(runs) > 1:
        told = ", ".join(run.name for run in runs)
        raise UsageError(f"{path} holds several runs: {told}", "keep each in a folder of its own")
    return EventPredictions(runs[0].name, runs[0].lines, runs[0].facts)


def _prediction(record: Record) -> tuple[str, str]:
    return f"{record['video_id']}_{record['event_id']}", text(record["pred"], "pred")


_PREDICTIONS = LineForm(
    "prediction", "predictions", _prediction, "docs/bench.md shows the form", "svlm bench livesports generate"
)


def contests(
    events: Sequence[SportsEvent], ours: EventPredictions, baseline: EventPredictions
) -> tuple[list[Contest], str]:
    """The events of which both said something and a person too, and a sentence about the others.

    Raises:
        SourceError: there is none.
    """
    found, missing, silent = [], [], []
    for event in events:
        if not event.reference:
            silent.append(event.id)
            continue
        if event.id not in ours.texts or event.id not in baseline.texts:
            missing.append(event.id)
            continue
        texts = ours.texts[event.id], baseline.texts[event.id]
        found.append(Contest(event.id, *texts, event.reference, event.title, event.video_id, event.labels))
    if not found:
        raise SourceError(
            f"no event has event_asr_text and predictions of {ours.name} and {baseline.name}",
            "are these predictions of the same events?",
        )
    told = []
    if silent:
        told.append(
            f"{len(silent)} of {len(events)} events have no event_asr_text, as those of the published test "
            f"split, and cannot be judged: {capped(silent)}"
        )
    if missing:
        told.append(f"{len(missing)} of {len(events)} events are left out: {capped(missing)}")
    return found, ". ".join(told)


def rules(template: str | None = None) -> Rules:
    """LiveCC's: one user message, temperature 0, seed 42; who is not named has not won."""
    wording = "own wording" if template is None else f"wording {digest(template, 8)}"
    request = {"seed": SEED, "temperature": 0}
    return Rules(f"both orders, {wording}, seed {SEED}", template or OWN_TEMPLATE, read_sentence, request, 20)


def row(ours: EventPredictions, rival: EventPredictions, judging: Judging) -> tuple[Row, Sequence[str]]:
    """The row of a run, from the stored votes, and what is to be said about them."""
    found = judged(judging, rival.facts)
    protocol = f"{PROTOCOL}, {ours.facts.protocol or 'predictions of a file'}"
    facts = {**ours.facts.columns, **found.facts}
    row = Row(ours.name, protocol, facts, found.scores, ours.facts.paper, found.more)
    return row, found.notes


def rows_of_votes(
    stored: Stored, baseline: str | None, source: str, events: Sequence[SportsEvent] = ()
) -> list[Row]:
    """The rows of stored votes alone: of everyone but the baseline.

    Args:
        stored: the votes.
        baseline: whose row is left out; None for ``GPT-4o`` where it is one of the two, else nobody's.
        source: the source of the votes, for the protocol.

    Raises:
        UsageError: no vote is about the baseline, so that its name may be wrong.
    """
    votes, names = stored.votes, stored.names
    splits = {event.id: event.split for event in events}
    if baseline is not None and baseline not in names:
        raise UsageError(f"no vote is about {baseline!r}", f"the votes name {', '.join(names)}")
    if baseline is None and BASELINE in names and len(names) > 1:
        baseline = BASELINE
    rows = []
    for name in [each for each in names if each != baseline] or names:
        rivals = " and ".join(other for other in names if other != name) or "nobody"
        rate = win_rate(votes, name, _video_of)
        facts = {
            "rival": rivals,
            "judge": f"stored votes of {source}",
            "votes": str(len(votes)),
            "ties": str(sum(vote.winner == TIE for vote in votes)),
        }
        scores = {"win_rate": rate}
        for split in sorted({*splits.values()} - {""}):
            own = [vote for vote in votes if splits.get(vote.id) == split]
            scores[f"win_rate_split_{split}"] = win_rate(own, name, _video_of)
        rows.append(Row(name, PROTOCOL, facts, scores))
    return rows


def _video_of(vote: Vote) -> str:
    return vote.id.rpartition("_")[0]


def report(rows: Sequence[Row], notes: Sequence[str]) -> Report:
    """The whole report."""
    names = dict.fromkeys(name for each in rows for name in each.scores)
    splits = {name: name.removeprefix("win_rate_split_") for name in names if "_split_" in name}
    return Report(
        "livesports",
        "LiveSports-3K CC: commentary, judged in pairs",
        rows,
        COLUMNS,
        {"Win rate by split": splits},
        notes,
        EVEN,
        published=LIVESPORTS,
    )


def _event(record: Mapping[str, Any], split: str, where: str) -> SportsEvent:
    try:
        event = SportsEvent(
            path_text(str(record.get("video") or ""), "video"),
            file_name(str(record["video_id"]), "video_id"),
            record["event_id"],
            seconds(numeral(record["begin"]), "begin"),
            seconds(numeral(record["end"]), "end"),
            str(record.get("event_title") or ""),
            str(record.get("preasr_text") or ""),
            str(record.get("event_asr_text") or ""),
            _split_of(str(record.get("split") or split)),
        )
        if not 0 <= event.begin < event.end or not isinstance(event.event_id, int | str):
            raise ValueError("begin, end or event_id")
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{where} is no event: {error!r}", _HINT) from error
    return event
