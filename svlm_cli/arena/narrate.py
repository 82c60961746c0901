"""What the narrator says: one line per spoken event, one phrasing per kind, a closed list of words.

    kick off by red Lions        goal for red Lions two one   score two one
    pass by red Lions            foul                         card by referee Moreno
    steal by red Lions           free kick for blue Sharks    kick off by blue Sharks nil nil
    shot by red Lions            save by blue Sharks

A score is said in the order of the opening text. The kick-off after a side's tenth goal begins a new
game and says so: "nil nil".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from svlm_cli.arena.moments import Event, Kind
from svlm_cli.arena.setup import KITS, NUMBERS, REFEREES, TEAMS, MatchSetup, score_words

MAX_LINE_WORDS = 7
_PHRASES: Mapping[Kind, tuple[str, ...]] = {
    Kind.KICK_OFF: ("kick", "off"),
    Kind.PASS: ("pass",),
    Kind.STEAL: ("steal",),
    Kind.SHOT: ("shot",),
    Kind.SAVE: ("save",),
    Kind.GOAL: ("goal",),
    Kind.FOUL: ("foul",),
    Kind.CARD: ("card",),
    Kind.FREE_KICK: ("free", "kick"),
    Kind.SCORE: ("score",),
}
# Spoken without a team.
NAMELESS = frozenset({Kind.FOUL, Kind.CARD, Kind.SCORE})
_FOR = frozenset({Kind.GOAL, Kind.FREE_KICK})
_REFEREE = "referee"
_OPENING_WORDS = ("against", "first", "to", _REFEREE)
_BINDERS = ("by", "for")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class SpokenEvent:
    """What one line tells.

    Args:
        kind: the kind of the event.
        team: name, if said.
        kit: the team's colour, if said.
        score: goals of the first and second named team, if said.
        referee: name, if said.
    """

    kind: Kind
    team: str | None = None
    kit: str | None = None
    score: tuple[int, int] | None = None
    referee: str | None = None


def spoken_event(event: Event, setup: MatchSetup) -> SpokenEvent | None:
    """What the narrator tells of an event, or None for one that he leaves out."""
    if not event.spoken:
        return None
    side = None if event.kind in NAMELESS else event.team
    return SpokenEvent(
        kind=event.kind,
        team=None if side is None else setup.names[side],
        kit=None if side is None else setup.kits[side],
        score=event.score,
        referee=setup.referee if event.kind is Kind.CARD else None,
    )


def line_of(spoken: SpokenEvent) -> str:
    """The words for an event, separated by blanks, without a leading one; ``parse_line`` undoes it."""
    words = [*_PHRASES[spoken.kind]]
    who = [spoken.kit, spoken.team] if spoken.team else [_REFEREE, spoken.referee] if spoken.referee else []
    if who:
        words += ["for" if spoken.kind in _FOR else "by", *filter(None, who)]
    if spoken.score:
        words += score_words(spoken.score)
    return " ".join(words)


def parse_line(text: str) -> tuple[SpokenEvent, ...]:
    """The events that a line tells, in its order; words that fit no phrase are passed over.

    Args:
        text: anything a model said. Case and punctuation do not matter. What is missing (a colour, a
            name, a score, a second number) is None in the result.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    events: list[SpokenEvent] = []
    position = 0
    while position < len(words):
        kind = _phrase_at(words, position)
        if kind is None:
            position += 1
            continue
        position += len(_PHRASES[kind])
        event, position = _details(kind, words, position)
        events.append(event)
    return tuple(events)


def vocabulary() -> tuple[str, ...]:
    """Every word of lines and opening texts, sorted, each once."""
    phrases = (word for phrase in _PHRASES.values() for word in phrase)
    return tuple(sorted({*phrases, *_BINDERS, *_OPENING_WORDS, *KITS, *NUMBERS, *REFEREES, *TEAMS}))


_TEAM_OF = {name.lower(): name for name in TEAMS}
_REFEREE_OF = {name.lower(): name for name in REFEREES}
_NUMBER_OF = {word: number for number, word in enumerate(NUMBERS)}


def _phrase_at(words: list[str], position: int) -> Kind | None:
    for kind, phrase in _PHRASES.items():
        if tuple(words[position : position + len(phrase)]) == phrase:
            return kind
    return None


def _details(kind: Kind, words: list[str], position: int) -> tuple[SpokenEvent, int]:
    """What follows a phrase: [by|for] [colour|referee] [name] [number number]."""
    if words[position : position + 1] in (["by"], ["for"]):
        position += 1
    kit = words[position] if position < len(words) and words[position] in KITS else None
    position += bool(kit) or words[position : position + 1] == [_REFEREE]
    name = words[position] if position < len(words) else ""
    team = None if kind is Kind.CARD else _TEAM_OF.get(name)
    referee = _REFEREE_OF.get(name) if kind is Kind.CARD else None
    position += bool(team or referee)
    goals = tuple(_NUMBER_OF[word] for word in words[position : position + 2] if word in _NUMBER_OF)
    score = (goals[0], goals[1]) if len(goals) == 2 else None
    return SpokenEvent(kind, team, kit, score, referee), position + (2 if score else 0)
