"""The world as it stands while a match is written down, and the small moves plays are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from svlm_cli.arena.dice import Dice
from svlm_cli.arena.formation import Formation
from svlm_cli.arena.moments import FEET, Event, Kind, Mark, Moment, Travel
from svlm_cli.arena.plane import Place, between, clamp, distance
from svlm_cli.arena.setup import NUM_PLAYERS, MatchSetup, keeper_of, outfield_of, team_of

KICK_LEAD_MS = 450
TACKLE_GAP = 5.2
MIN_PASS = 10.0
_BACK_PASS = 0.08


class MatchStage:
    """Time, places, ball, holder and score, moved on by one moment after another.

    Args:
        setup: the match.

    Attributes:
        dice: the dice for whatever is decided.
        formation: where places are free.
        now_ms, places, ball, holder: as of the last moment; ``holder`` stays the last one who had the
            ball while nobody has it.
        score: goals of the two teams.
    """

    def __init__(self, setup: MatchSetup) -> None:
        self.dice = Dice(setup.sport, setup.seed, "plays")
        self.formation = Formation(setup, Dice(setup.sport, setup.seed, "walks"))
        self.score = setup.opening_score
        self.now_ms = 0
        self.places: tuple[Place, ...] = ()
        self.ball: Place = (0.0, 0.0)
        self.holder = 0
        self._directions = setup.directions

    @property
    def team(self) -> int:
        """The side that has or last had the ball."""
        return team_of(self.holder)

    @property
    def keeper_holds(self) -> bool:
        """Whether it is (or was) a keeper who has it."""
        return self.holder == keeper_of(self.team)

    def direction(self, team: int) -> int:
        """Where a team attacks: +1 right, -1 left."""
        return self._directions[team]

    def feet(self, player: int, place: Place) -> Place:
        """Where the ball lies when ``player`` has it and stands at ``place``."""
        return place[0] + FEET[0] * self.direction(team_of(player)), place[1] + FEET[1]

    def beat(self, seconds: int) -> int:
        """A time in the second that many after the current one, when something can happen."""
        return (self.now_ms // 1000 + seconds) * 1000 + self.dice.within(100, 300)

    def moment(
        self,
        time_ms: int,
        pins: Mapping[int, Place] | None = None,
        *,
        holder: int | None = None,
        ball: Place | None = None,
        travel: Travel = Travel.REST,
        still: bool = False,
        event: Event | None = None,
        sign: Place | None = None,
        clear: Collection[Place] = (),
    ) -> Moment:
        """Move the world on to ``time_ms`` and write it down.

        Args:
            pins: players who are at a certain place then; the others follow the formation.
            holder: who has the ball from now on.
            ball: where it is, if nobody has it; left out, where it was.
            sign: where the sign of ``event`` is drawn; left out, it has none.
            clear: places the others keep away from.
        """
        self.places = self.formation.places(time_ms, ball or self.ball, pins or {}, clear)
        self.now_ms = time_ms
        if holder is not None:
            self.holder = holder
            ball = self.feet(holder, self.places[holder])
        self.ball = ball or self.ball
        mark = None
        if event is not None and sign is not None:
            mark = Mark(event.kind, sign, time_ms, event.team if event.kind is Kind.FOUL else None)
        return Moment(time_ms, self.places, self.ball, holder, travel, still, event, mark, self.score)

    def kick(self, beat: int) -> Moment:
        """The holder lets go, so that the ball arrives at ``beat``."""
        time_ms = beat // 1000 * 1000 - KICK_LEAD_MS
        place = self.dribble(time_ms)
        return self.moment(
            time_ms, {self.holder: place}, ball=self.feet(self.holder, place), travel=Travel.PASS
        )

    def gain(self, beat: int, player: int, place: Place, kind: Kind) -> Moment:
        """``player``, at ``place``, has the ball from now on."""
        event = Event(kind, beat, team_of(player), player)
        return self.moment(beat, {player: place}, holder=player, event=event)

    def pick_up(self, player: int, seconds: int) -> Moment:
        """``player`` goes to a ball at rest and has it, that many seconds later; unspoken."""
        x, y = self.ball[0] - FEET[0] * self.direction(team_of(player)), self.ball[1] - FEET[1]
        return self.gain(self.beat(seconds), player, (x, y), Kind.RECOVERY)

    def dribble(self, time_ms: int) -> Place:
        """Where the holder will have carried the ball by ``time_ms``."""
        x, y = self.places[self.holder]
        if self.keeper_holds:
            return x, y
        seconds = (time_ms - self.now_ms) / 1000
        x += self.direction(self.team) * seconds * self.dice.between(0.8, 2.2)
        y += seconds * self.dice.between(-1.2, 1.2)
        return clamp(x, 16.0), clamp(y, 13.0)

    def tackle(self, beat: int) -> tuple[int, dict[int, Place]]:
        """The rival who comes to the holder, and where both stand when he is there."""
        here = self.dribble(beat)
        rival = self.formation.nearest(1 - self.team, here, beat)
        free = self.formation.free_place(rival, beat)
        there = between(here, free, TACKLE_GAP / max(distance(here, free), 1.0))
        return rival, {self.holder: here, rival: there}

    def mate(self, time_ms: int) -> tuple[int, Place]:
        """Somebody to pass to, and where: so far away that the ball is seen to fly."""
        mates = [player for player in outfield_of(self.team) if player != self.holder]
        if not self.keeper_holds and self.dice.chance(_BACK_PASS):
            mates = [keeper_of(self.team)]
        first = self.dice.below(len(mates))
        mates = mates[first:] + mates[:first]
        places = [self.formation.free_place(mate, time_ms) for mate in mates]
        gaps = [distance(self.ball, place) for place in places]
        best = next((k for k, gap in enumerate(gaps) if gap >= MIN_PASS), gaps.index(max(gaps)))
        x, y = between(self.ball, places[best], max(1.0, MIN_PASS / max(gaps[best], 1.0)))
        return mates[best], (clamp(x, 24.0), clamp(y, 15.0))

    def open_spot(self, time_ms: int) -> Place:
        """A place on the pitch as far from ball and players as six tries find."""
        tries = [(self.dice.between(-18, 18), self.dice.between(-12, 12)) for _ in range(6)]
        crowd = [self.formation.free_place(player, time_ms) for player in range(NUM_PLAYERS)]
        return max(tries, key=lambda spot: min(distance(spot, place) for place in (*crowd, self.ball)))
