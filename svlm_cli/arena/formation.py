"""Where the eight players stand when nothing calls them elsewhere, and how they get back there."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from svlm_cli.arena.dice import Dice
from svlm_cli.arena.moments import FEET
from svlm_cli.arena.plane import Place, between, clamp, squared_distance
from svlm_cli.arena.setup import NUM_PLAYERS, MatchSetup, keeper_of, outfield_of, team_of

KEEPER_X = 24.0
MIN_GAP = 5.6
_OPEN_SLOTS: tuple[Place, ...] = ((-KEEPER_X, 0.0), (-14.0, 6.0), (-4.0, -9.5), (8.0, 1.0))
_KICK_OFF_SLOTS: tuple[Place, ...] = ((-KEEPER_X, 0.0), (-16.0, 5.0), (-8.5, -9.0), (-9.5, 3.5))
_KICKER_SLOT: Place = (-FEET[0], -FEET[1])
_FOLLOW: Place = (0.35, 0.2)
_FOLLOW_SECONDS = 3.0
_RETURN_SECONDS = 2.0
_LATTICE_MS = 4000
_WANDER = 2.2
_OUTFIELD_LIMIT: Place = (22.0, 15.0)


class Formation:
    """Free places as a function of time, plus what is left of the last detour of each player.

    A free place is the player's slot, moved with the play, plus a slow random walk around it. A
    player who was called away (to pass, to steal) comes back to it within a few seconds. Slots keep
    so much distance that discs hardly ever overlap.

    Args:
        setup: the match, which gives directions and the vertical flip.
        dice: the dice of the walks; used by nothing else.
    """

    def __init__(self, setup: MatchSetup, dice: Dice) -> None:
        self._setup = setup
        self._dice = dice
        self._lattice: list[tuple[float, ...]] = []
        self._lattice_base = 0
        self._now_ms = 0
        self._focus: Place = (0.0, 0.0)
        self._detours: list[Place] = [(0.0, 0.0)] * NUM_PLAYERS

    def free_place(self, player: int, time_ms: int) -> Place:
        """Where this player will be at ``time_ms`` if the play stays where it is now."""
        slot_x, slot_y = self._oriented(player, _OPEN_SLOTS)
        wander_x, wander_y = self._wander(player, time_ms)
        if player == keeper_of(team_of(player)):
            return slot_x, slot_y + 0.3 * clamp(self._focus[1], 8.0) + 0.4 * wander_y
        x = slot_x + _FOLLOW[0] * self._focus[0] + wander_x
        y = slot_y + _FOLLOW[1] * self._focus[1] + wander_y
        return clamp(x, _OUTFIELD_LIMIT[0]), clamp(y, _OUTFIELD_LIMIT[1])

    def places(
        self, time_ms: int, focus: Place, pinned: Mapping[int, Place], clear: Collection[Place] = ()
    ) -> tuple[Place, ...]:
        """Move on to ``time_ms`` and say where everybody is.

        Args:
            time_ms: not before that of the last call.
            focus: where the ball is; the formation follows it slowly.
            pinned: players who must be at a certain place now.
            clear: places that the others keep away from.
        """
        gone = (time_ms - self._now_ms) / 1000
        share = gone / (gone + _FOLLOW_SECONDS)
        self._focus = between(self._focus, focus, share)
        self._now_ms = time_ms
        self._forget()
        free = [self.free_place(player, time_ms) for player in range(NUM_PLAYERS)]
        fade = _RETURN_SECONDS / (_RETURN_SECONDS + gone)
        places = [
            pinned.get(player, (free[player][0] + fade * detour[0], free[player][1] + fade * detour[1]))
            for player, detour in enumerate(self._detours)
        ]
        _keep_apart(places, pinned, clear)
        self._detours = [(p[0] - f[0], p[1] - f[1]) for p, f in zip(places, free, strict=True)]
        return tuple(places)

    def kick_off_places(self, kicker: int) -> dict[int, Place]:
        """Pins for all: everybody in his own half, ``kicker`` at the centre spot."""
        pins = {player: self._oriented(player, _KICK_OFF_SLOTS) for player in range(NUM_PLAYERS)}
        direction = self._setup.directions[team_of(kicker)]
        pins[kicker] = (_KICKER_SLOT[0] * direction, _KICKER_SLOT[1])
        return pins

    def nearest(self, team: int, place: Place, time_ms: int) -> int:
        """The outfield player of ``team`` whose free place at ``time_ms`` is nearest to ``place``."""
        return min(
            outfield_of(team), key=lambda player: squared_distance(self.free_place(player, time_ms), place)
        )

    def _oriented(self, player: int, slots: tuple[Place, ...]) -> Place:
        direction = self._setup.directions[team_of(player)]
        x, y = slots[player - keeper_of(team_of(player))]
        return x * direction, y * direction * self._setup.flip

    def _wander(self, player: int, time_ms: int) -> Place:
        index, rest = divmod(time_ms, _LATTICE_MS)
        while self._lattice_base + len(self._lattice) <= index + 1:
            throws = tuple(self._dice.between(-_WANDER, _WANDER) for _ in range(2 * NUM_PLAYERS))
            self._lattice.append(throws)
        now, then = (self._lattice[index - self._lattice_base + step] for step in (0, 1))
        share = rest / _LATTICE_MS
        share = share * share * (3 - 2 * share)
        x, y = (now[k] + share * (then[k] - now[k]) for k in (2 * player, 2 * player + 1))
        return x, y

    def _forget(self) -> None:
        old = self._now_ms // _LATTICE_MS - self._lattice_base
        if old > 0:
            del self._lattice[:old]
            self._lattice_base += old


def _keep_apart(places: list[Place], pinned: Mapping[int, Place], clear: Collection[Place]) -> None:
    """Push players who are free to move away from all others; in place, player by player."""
    for player, place in enumerate(places):
        if player in pinned or player == keeper_of(team_of(player)):
            continue
        x, y = place
        for other in (*(p for q, p in enumerate(places) if q != player), *clear):
            squared = squared_distance((x, y), other)
            if 0 < squared < MIN_GAP * MIN_GAP:
                x, y = between(other, (x, y), MIN_GAP / math.sqrt(squared))
        places[player] = (clamp(x, _OUTFIELD_LIMIT[0]), clamp(y, _OUTFIELD_LIMIT[1]))
