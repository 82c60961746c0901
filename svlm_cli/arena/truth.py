"""What is true in every second of a match: events, possession, score, and the line to be spoken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.moments import Event, Kind, Moment
from svlm_cli.arena.narrate import line_of, spoken_event
from svlm_cli.arena.script import Script
from svlm_cli.arena.setup import MatchSetup, draw_setup, team_of

WORD_LEAD_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TruthEvent:
    """One event.

    Args:
        kind: a value of ``moments.Kind``.
        time_seconds: when, from the start of the match.
        spoken: whether the narrator says it, in the second it happens in.
        team: name of the side whose it is; of a foul the side that gets the free kick, of a card the
            side that is booked (neither is spoken), of a score the side that lost the ball (same).
        player: 0-7 in order of the opening text, 0 and 4 keep goal; None where nobody did it alone.
        score: as spoken; goals of the first and second named team.
        referee: as spoken.
    """

    kind: str
    time_seconds: float
    spoken: bool
    team: str | None
    player: int | None
    score: tuple[int, int] | None
    referee: str | None


@dataclass(frozen=True, slots=True)
class TruthSecond:
    """What is true of [second, second + 1).

    Args:
        second: the second of the match, from 0.
        line: what the narrator says in this second; empty when silent.
        events: what happens in it, in order of time; at most one event is spoken.
        possession: team that has the ball when the second ends; None while nobody does.
        player: who has it then.
        score: goals of the two teams then.
    """

    second: int
    line: str
    events: tuple[TruthEvent, ...]
    possession: str | None
    player: int | None
    score: tuple[int, int]

    @property
    def spoken(self) -> TruthEvent | None:
        """The event that ``line`` tells."""
        return next((event for event in self.events if event.spoken), None)

    def to_json(self) -> dict[str, object]:
        """Plain values for ``json.dump``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the commentary and when it is said, in seconds from the start of the match."""

    text: str
    start_seconds: float
    end_seconds: float


def truth(address: ArenaAddress, start_second: int = 0) -> Iterator[TruthSecond]:
    """The truth of every whole second of a match, in order, at constant memory.

    Args:
        address: which match and how many minutes; the picture's size and rate do not matter.
        start_second: first second wanted; the ones before are played but not described.
    """
    setup = draw_setup(address.sport, address.seed)
    moments = Script(setup).moments()
    now = next(moments)
    then = next(moments)
    for second in count():
        if second + 1 > address.duration_seconds:
            return
        events: list[Event] = [now.event] if now.event and now.event.second == second else []
        while then.time_ms < 1000 * (second + 1):
            now, then = then, next(moments)
            if now.event is not None:
                events.append(now.event)
        if second >= start_second:
            yield _describe(second, events, now, setup)


def opening_text(address: ArenaAddress, start_seconds: float = 0.0) -> str:
    """What a stream that begins at ``start_seconds`` is told: kits, names, the score then, the referee."""
    setup = draw_setup(address.sport, address.seed)
    score = setup.opening_score
    for moment in Script(setup).moments():
        if moment.time_ms >= 1000 * start_seconds:
            break
        score = moment.score
    return setup.opening_text_at(score)


def words_of(record: TruthSecond) -> tuple[SpokenWord, ...]:
    """The words of a second with their times: from its event on, evenly, all within the second."""
    event = record.spoken
    if event is None:
        return ()
    words = record.line.split()
    start = event.time_seconds + WORD_LEAD_SECONDS
    step = (record.second + 1 - WORD_LEAD_SECONDS - start) / len(words)
    return tuple(
        SpokenWord(word, round(start + k * step, 3), round(start + (k + 1) * step, 3))
        for k, word in enumerate(words)
    )


def _describe(second: int, events: list[Event], now: Moment, setup: MatchSetup) -> TruthSecond:
    lines = [line_of(spoken) for event in events if (spoken := spoken_event(event, setup))]
    return TruthSecond(
        second=second,
        line=" ".join(lines),
        events=tuple(_truth_event(event, setup) for event in events),
        possession=None if now.holder is None else setup.names[team_of(now.holder)],
        player=now.holder,
        score=now.score,
    )


def _truth_event(event: Event, setup: MatchSetup) -> TruthEvent:
    return TruthEvent(
        kind=event.kind.value,
        time_seconds=event.time_ms / 1000,
        spoken=event.spoken,
        team=None if event.team is None else setup.names[event.team],
        player=event.player,
        score=event.score,
        referee=setup.referee if event.kind is Kind.CARD else None,
    )
