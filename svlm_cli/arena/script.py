"""The endless list of moments that a match is made of, play by play.

A play starts when somebody has the ball and ends when somebody has it again. Whatever is seen or
spoken happens 100 to 300 ms after a whole second, and a pass is kicked 450 ms before the second it
arrives in; so the frames at s and s + 1/2 always show before and after.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from svlm_cli.arena.formation import KEEPER_X
from svlm_cli.arena.moments import FEET, Event, Kind, Moment, Travel
from svlm_cli.arena.plane import PITCH_X, PITCH_Y, Place, between, clamp, distance
from svlm_cli.arena.setup import WINNING_SCORE, MatchSetup, keeper_of, outfield_of, team_of
from svlm_cli.arena.stage import MatchStage

FREE_KICK_WAIT_SECONDS = (5, 12)
CARD_GAP_SECONDS = (630, 900)
CARD_DELAY_SECONDS = 3
_IDLE_MS = 2000
_NEAR_GOAL = 2.0
_AHEAD = (
    *((Kind.PASS, 0.48), (Kind.STEAL, 0.16), (Kind.RECOVERY, 0.07)),
    *((Kind.SHOT, 0.21), (Kind.FOUL, 0.04), (Kind.SCORE, 0.04)),
)
_BEHIND = (
    *((Kind.PASS, 0.66), (Kind.STEAL, 0.17), (Kind.RECOVERY, 0.09)),
    *((Kind.FOUL, 0.04), (Kind.SCORE, 0.04)),
)
_KEEPER = ((Kind.PASS, 0.9), (Kind.RECOVERY, 0.1))
_HOLD_SECONDS = ((1, 0.25), (2, 0.5), (3, 0.2), (4, 0.05))
_SHOT_ENDS = ((Kind.GOAL, 0.4), (Kind.SAVE, 0.4), (Kind.MISS, 0.2))


class Script:
    """One playing of a match; two scripts of the same setup give the same moments.

    Args:
        setup: the match.
    """

    def __init__(self, setup: MatchSetup) -> None:
        self._stage = MatchStage(setup)
        self._dice = self._stage.dice
        self._card_due_ms = self._draw_card_gap()

    def moments(self) -> Iterator[Moment]:
        """Every moment in order of time, for ever; the first is at 0. Call once."""
        stage = self._stage
        kicker = _kicker(self._dice.below(2))
        yield stage.moment(0, stage.formation.kick_off_places(kicker), ball=(0.0, 0.0), still=True)
        yield self._kick_off(kicker, stage.beat(self._dice.within(2, 4)), new_game=False)
        plays = {
            Kind.PASS: self._pass,
            Kind.STEAL: self._steal,
            Kind.RECOVERY: self._lose,
            Kind.SHOT: self._shoot,
            Kind.FOUL: self._foul,
            Kind.SCORE: self._kick_out,
        }
        while True:
            yield from plays[self._choose()]()

    def _choose(self) -> Kind:
        stage = self._stage
        if stage.keeper_holds:
            return self._dice.weighted(_KEEPER)
        if stage.now_ms >= self._card_due_ms:
            return Kind.FOUL
        advance = stage.places[stage.holder][0] * stage.direction(stage.team)
        return self._dice.weighted(_AHEAD if advance > _NEAR_GOAL else _BEHIND)

    def _pass(self) -> Iterator[Moment]:
        beat = self._stage.beat(self._dice.weighted(_HOLD_SECONDS))
        yield self._stage.kick(beat)
        mate, place = self._stage.mate(beat)
        yield self._stage.gain(beat, mate, place, Kind.PASS)

    def _steal(self) -> Iterator[Moment]:
        beat = self._stage.beat(self._dice.within(2, 3))
        robber, pins = self._stage.tackle(beat)
        event = Event(Kind.STEAL, beat, team_of(robber), robber)
        sign = self._stage.feet(robber, pins[robber])
        yield self._stage.moment(beat, pins, holder=robber, event=event, sign=sign)

    def _lose(self) -> Iterator[Moment]:
        """A pass that reaches nobody; later somebody picks the ball up, and nothing is said."""
        stage, loser = self._stage, self._stage.team
        beat = stage.beat(self._dice.weighted(_HOLD_SECONDS))
        yield stage.kick(beat)
        spot = stage.open_spot(beat)
        yield stage.moment(beat, ball=spot, clear=(spot,))
        finder = stage.formation.nearest(1 - loser if self._dice.chance(0.7) else loser, spot, beat)
        yield stage.pick_up(finder, self._dice.within(2, 3))

    def _kick_out(self) -> Iterator[Moment]:
        """Over the touchline; the narrator says the score, the other side goes on unspoken."""
        stage, loser = self._stage, self._stage.team
        beat = stage.beat(self._dice.within(2, 3))
        yield stage.kick(beat)
        side = 1.0 if stage.ball[1] > 0 else -1.0
        x = clamp(stage.ball[0] + self._dice.between(-5, 5), 17.0)
        spot = (x, side * (PITCH_Y + 0.9))
        event = Event(Kind.SCORE, beat, loser, score=stage.score)
        yield stage.moment(beat, ball=spot, travel=Travel.ROLL, event=event, sign=(x, side * PITCH_Y))
        thrower = stage.formation.nearest(1 - loser, spot, beat)
        place = (x - FEET[0] * stage.direction(1 - loser), side * (PITCH_Y - 1.5) - FEET[1])
        yield stage.gain(stage.beat(self._dice.within(3, 4)), thrower, place, Kind.RECOVERY)

    def _shoot(self) -> Iterator[Moment]:
        stage, shooter, team = self._stage, self._stage.holder, self._stage.team
        direction, keeper = stage.direction(team), keeper_of(1 - team)
        spot = (direction * self._dice.between(9.0, 12.0), self._dice.between(-7.0, 7.0))
        beat = stage.beat(3 if distance(spot, stage.places[shooter]) > 9.0 else 2)
        event = Event(Kind.SHOT, beat, team, shooter)
        feet = stage.feet(shooter, spot)
        yield stage.moment(beat, {shooter: spot}, ball=feet, travel=Travel.SHOT, event=event)
        ending, y = self._dice.weighted(_SHOT_ENDS), self._dice.between(-3.5, 3.5)
        beat = stage.beat(1)
        if ending is Kind.SAVE:
            yield stage.gain(beat, keeper, (direction * KEEPER_X, y), Kind.SAVE)
        elif ending is Kind.GOAL:
            yield from self._goal(beat, shooter, (direction * (PITCH_X + 1.6), y))
        else:
            wide = (direction * (PITCH_X + 2.2), math.copysign(self._dice.between(7.5, 10.0), y))
            event = Event(Kind.MISS, beat, team, shooter)
            yield stage.moment(beat, ball=wide, travel=Travel.ROLL, event=event)
            beat = stage.beat(self._dice.within(3, 4))
            yield stage.gain(beat, keeper, (direction * KEEPER_X, wide[1] / 2), Kind.RECOVERY)

    def _goal(self, beat: int, scorer: int, spot: Place) -> Iterator[Moment]:
        """The ball in the net; then everybody walks back for the kick-off."""
        stage, team = self._stage, team_of(scorer)
        stage.score = (stage.score[0] + (team == 0), stage.score[1] + (team == 1))
        event = Event(Kind.GOAL, beat, team, scorer, stage.score)
        beaten = {keeper_of(1 - team): (math.copysign(KEEPER_X, spot[0]), -math.copysign(3.5, spot[1]))}
        sign = (math.copysign(PITCH_X, spot[0]), 0.0)
        yield stage.moment(beat, beaten, ball=spot, event=event, sign=sign)
        kicker, kick_off = _kicker(1 - team), stage.beat(self._dice.within(6, 8))
        yield stage.moment(beat + 1800, ball=spot, travel=Travel.ROLL)
        places = stage.formation.kick_off_places(kicker)
        yield stage.moment(kick_off - 1300, places, ball=(0.0, 0.0), still=True)
        yield self._kick_off(kicker, kick_off, new_game=WINNING_SCORE in stage.score)

    def _kick_off(self, kicker: int, beat: int, *, new_game: bool) -> Moment:
        pins = self._stage.formation.kick_off_places(kicker)
        if new_game:
            self._stage.score = (0, 0)
        score = self._stage.score if new_game else None
        event = Event(Kind.KICK_OFF, beat, team_of(kicker), kicker, score)
        return self._stage.moment(beat, pins, holder=kicker, still=True, event=event, sign=(0.0, 0.0))

    def _foul(self) -> Iterator[Moment]:
        """The side that gets the free kick is a fair coin, shown for less than a second.

        Nothing that is seen between that second and the spoken free kick depends on the coin.
        """
        stage = self._stage
        beat = stage.beat(self._dice.within(2, 3))
        rival, pins = stage.tackle(beat)
        team = self._dice.below(2)
        fouled = stage.holder if stage.team == team else rival
        middle = between(pins[stage.holder], pins[rival], 0.5)
        sign = (clamp(middle[0], 20.0), clamp(middle[1], 11.5))
        spot = stage.feet(stage.holder, pins[stage.holder])
        event = Event(Kind.FOUL, beat, team, fouled)
        yield stage.moment(beat, pins, ball=spot, still=True, event=event, sign=sign)
        wait = self._dice.within(*FREE_KICK_WAIT_SECONDS)
        if beat >= self._card_due_ms:
            yield from self._card(1 - team, sign)
            wait = max(wait - CARD_DELAY_SECONDS, CARD_DELAY_SECONDS)
        yield from self._dead_ball(Kind.FREE_KICK, stage.beat(wait), team, spot)
        yield stage.pick_up(stage.formation.nearest(team, spot, stage.now_ms), 2)

    def _card(self, team: int, sign: Place) -> Iterator[Moment]:
        """The rare sight that makes the narrator name the referee."""
        card = self._stage.beat(CARD_DELAY_SECONDS)
        self._card_due_ms = card + self._draw_card_gap()
        yield from self._dead_ball(Kind.CARD, card, team, sign)

    def _dead_ball(self, kind: Kind, beat: int, team: int, sign: Place) -> Iterator[Moment]:
        """The ball rests and the players drift, until a sign of this kind."""
        stage = self._stage
        while beat - stage.now_ms > _IDLE_MS + _IDLE_MS // 2:
            yield stage.moment(stage.now_ms + _IDLE_MS, clear=(stage.ball,))
        event = Event(kind, beat, team)
        yield stage.moment(beat, still=True, event=event, sign=sign, clear=(stage.ball,))

    def _draw_card_gap(self) -> int:
        return 1000 * self._dice.within(*CARD_GAP_SECONDS)


def _kicker(team: int) -> int:
    return outfield_of(team)[-1]
