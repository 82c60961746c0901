"""The script of a match as values: what happens when, and where everybody then is.

Places are metres as in ``plane``. Times are whole milliseconds from the start of the match, so that
they are exact on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from svlm_cli.arena.plane import Place

# Where the ball lies at the feet of its holder, for one who attacks to the right.
FEET: Place = (2.7, 0.9)
# A mark goes out this long before the second it belongs to ends, so that only that second's frames
# show it, at any frame rate.
MARK_MARGIN_MS = 50


class Kind(StrEnum):
    """What can happen. The narrator speaks of all but ``RECOVERY`` and ``MISS``."""

    KICK_OFF = "kick_off"
    PASS = "pass"  # noqa: S105
    STEAL = "steal"
    SHOT = "shot"
    SAVE = "save"
    GOAL = "goal"
    FOUL = "foul"
    CARD = "card"
    FREE_KICK = "free_kick"
    SCORE = "score"
    RECOVERY = "recovery"
    MISS = "miss"


SILENT_KINDS = frozenset({Kind.RECOVERY, Kind.MISS})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; the second it is spoken in is ``time_ms // 1000``.

    Args:
        kind: what; ``SCORE`` is the ball over the touchline, when the narrator says the score.
        time_ms: when; its part of a second is 100 to 300 ms, so that a frame at the half second (2
            FPS and every even rate) shows it within the same second.
        team: 0 or 1, whose it is; of a foul the side that will get the free kick.
        player: 0-7, where one player did it.
        score: what the narrator says of the score, if he does.
    """

    kind: Kind
    time_ms: int
    team: int | None = None
    player: int | None = None
    score: tuple[int, int] | None = None

    @property
    def spoken(self) -> bool:
        """Whether the narrator says it."""
        return self.kind not in SILENT_KINDS

    @property
    def second(self) -> int:
        """The second [s, s + 1) in which it happens, and in which it is spoken if it is."""
        return self.time_ms // 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign drawn from the event's time until just before its second ends; ``kind`` names the event.

    Args:
        team: the team whose kit colour it wears; only a foul's has one.
    """

    kind: Kind
    place: Place
    start_ms: int
    team: int | None = None

    @property
    def end_ms(self) -> int:
        """When it goes out."""
        return (self.start_ms // 1000 + 1) * 1000 - MARK_MARGIN_MS


class Travel(StrEnum):
    """How a ball that nobody holds gets to where it is at the next moment."""

    REST = "rest"
    PASS = "pass"  # noqa: S105
    SHOT = "shot"
    ROLL = "roll"


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of the world at one time; between two moments everything moves smoothly.

    Args:
        time_ms: strictly after the moment before.
        places: the places of the eight players.
        ball: where the ball is; at the feet of its holder, if it has one.
        holder: the player in possession from this moment to the next, or None.
        travel: what the ball does until the next moment while nobody holds it.
        still: the players stand; else they keep some of their speed through this moment.
        event, mark: what happens now, and its sign.
        score: goals of the two teams after this moment.
    """

    time_ms: int
    places: tuple[Place, ...]
    ball: Place
    holder: int | None = None
    travel: Travel = Travel.REST
    still: bool = False
    event: Event | None = None
    mark: Mark | None = None
    score: tuple[int, int] = (0, 0)
