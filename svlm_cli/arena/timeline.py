"""Where everything is at any time: the moments of a script, joined smoothly.

A scene depends on the match and the time alone: not on the frame rate, nor on what was asked before.
Shape legend: P = 8 players; places are (P, 2) float64 metres.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from svlm_cli.arena.moments import FEET, Mark, Moment, Travel
from svlm_cli.arena.plane import Place, between
from svlm_cli.arena.script import Script
from svlm_cli.arena.setup import MatchSetup, team_of

TRAIL_SECONDS = {Travel.PASS: 0.18, Travel.SHOT: 0.45}
_MAX_SPEED = 5.0
_KEEP_MS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What there is to see at one time.

    Args:
        places: (P, 2) float64 metres.
        ball: its place.
        holder: the player with the halo, or None.
        travel: how a ball that nobody holds moves.
        trail: where the streak behind a passed or shot ball ends, or None.
        marks: the signs that are up.
    """

    places: np.ndarray
    ball: Place
    holder: int | None
    travel: Travel
    trail: Place | None
    marks: tuple[Mark, ...]


class Timeline:
    """The scenes of a match, cheapest when asked for in order of time.

    Holds a few seconds of moments only. Going far back plays the match again from its start.

    Args:
        setup: the match.
    """

    def __init__(self, setup: MatchSetup) -> None:
        self._setup = setup
        self._restart()

    def _restart(self) -> None:
        self._source: Iterator[Moment] = Script(self._setup).moments()
        first = next(self._source)
        self._moments = [first, next(self._source)]
        self._forgotten = False

    def scene(self, seconds: float) -> Scene:
        """The scene ``seconds`` after the start of the match.

        Raises:
            ValueError: a time before the start.
        """
        if seconds < 0:
            raise ValueError(f"a match begins at 0 s, not at {seconds:g} s")
        time_ms = seconds * 1000
        index = self._find(time_ms)
        now, then = self._moments[index], self._moments[index + 1]
        before = self._moments[index - 1] if index else now
        share = (time_ms - now.time_ms) / (then.time_ms - now.time_ms)
        places = _places(before, now, then, share)
        marks = tuple(
            moment.mark
            for moment in self._moments[: index + 1]
            if moment.mark is not None and moment.mark.start_ms <= time_ms < moment.mark.end_ms
        )
        if now.holder is not None:
            return Scene(places, self._feet(places, now.holder), now.holder, Travel.REST, None, marks)
        ball = now.ball if now.travel is Travel.REST else between(now.ball, then.ball, share)
        return Scene(places, ball, None, now.travel, _trail(now, then, share), marks)

    def _find(self, time_ms: float) -> int:
        """Index of the moment that ``time_ms`` follows, once it and its neighbours are at hand."""
        if self._forgotten and time_ms < self._moments[1].time_ms:
            self._restart()
        while self._moments[-1].time_ms <= time_ms:
            self._moments.append(next(self._source))
            while self._moments[2].time_ms < min(time_ms, self._moments[-2].time_ms) - _KEEP_MS:
                del self._moments[0]
                self._forgotten = True
        return bisect_right(self._moments, time_ms, key=lambda moment: moment.time_ms) - 1

    def _feet(self, places: np.ndarray, player: int) -> Place:
        direction = self._setup.directions[team_of(player)]
        return float(places[player, 0]) + FEET[0] * direction, float(places[player, 1]) + FEET[1]


def _places(before: Moment, now: Moment, then: Moment, share: float) -> np.ndarray:
    """(P, 2): the cubic from ``now`` to ``then`` with the speeds that ``_speeds`` gives at both ends.

    A speed looks back only, so that nobody's walk foretells a moment that has not come.
    """
    start, end = np.array(now.places), np.array(then.places)
    seconds = (then.time_ms - now.time_ms) / 1000
    slope_0, slope_1 = seconds * _speeds(before, now), seconds * _speeds(now, then)
    step = end - start
    bend = slope_0 + slope_1 - 2 * step
    swing = 3 * step - 2 * slope_0 - slope_1
    places: np.ndarray = start + share * (slope_0 + share * (swing + share * bend))
    return places


def _speeds(before: Moment, now: Moment) -> np.ndarray:
    """(P, 2) metres per second with which the players pass through ``now``."""
    gone = (now.time_ms - before.time_ms) / 1000
    if now.still or gone <= 0:
        return np.zeros((len(now.places), 2))
    steps = np.array(now.places) - np.array(before.places)
    speeds: np.ndarray = np.clip(0.5 / gone * steps, -_MAX_SPEED, _MAX_SPEED)
    return speeds


def _trail(now: Moment, then: Moment, share: float) -> Place | None:
    length = TRAIL_SECONDS.get(now.travel)
    if length is None:
        return None
    return between(now.ball, then.ball, max(0.0, share - 1000 * length / (then.time_ms - now.time_ms)))
