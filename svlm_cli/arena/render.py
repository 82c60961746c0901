"""A scene as a picture: pleasant at 640x360, unambiguous at 168x112.

What the model must tell apart differs in hue and in shape: kits are discs in six colours, the halo is
a cyan ring, the ball orange, and whatever the referee shows is magenta. The score is nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from svlm_cli.arena import paint
from svlm_cli.arena.moments import Kind, Mark, Travel
from svlm_cli.arena.paint import Colour, Distance
from svlm_cli.arena.pitch import draw_pitch
from svlm_cli.arena.plane import GOAL_HALF_WIDTH, NET_DEPTH, WORLD_HEIGHT, WORLD_WIDTH, Place
from svlm_cli.arena.setup import NUM_PLAYERS, MatchSetup, keeper_of, team_of
from svlm_cli.arena.timeline import Scene

KIT_COLOURS: Mapping[str, Colour] = {
    "red": (216, 30, 38),
    "blue": (32, 70, 225),
    "yellow": (252, 224, 40),
    "white": (250, 250, 250),
    "black": (22, 22, 26),
    "purple": (142, 44, 196),
}
BALL_COLOUR: Colour = (255, 132, 0)
HALO_COLOUR: Colour = (0, 240, 255)
REFEREE_COLOUR: Colour = (255, 20, 150)
FLAME_COLOUR: Colour = (255, 64, 0)
FLASH_COLOUR: Colour = (255, 255, 255)
_OUTLINE: Colour = (18, 44, 20)
_GLOVES: Colour = (150, 150, 150)
PLAYER_RADIUS, BALL_RADIUS = 2.4, 1.3
HALO_INNER, HALO_OUTER = 3.0, 4.3
FOUL_INNER, FOUL_OUTER = 6.2, 8.8
_MARKS_BELOW = frozenset({Kind.KICK_OFF, Kind.STEAL, Kind.GOAL, Kind.SCORE})


class Renderer:
    """Draws the scenes of one match at one size.

    The pitch keeps its shape of 3 to 2; a frame of another shape shows more grass on two sides.

    Args:
        setup: the match, whose kits are drawn.
        width, height: the width and height of a frame, pixels.
    """

    def __init__(self, setup: MatchSetup, width: int, height: int) -> None:
        self._kits = tuple(KIT_COLOURS[kit] for kit in setup.kits)
        self._scale = min(width / WORLD_WIDTH, height / WORLD_HEIGHT)
        self._middle = (width / 2, height / 2)
        self._pitch = draw_pitch(width, height, self._scale)

    def draw(self, scene: Scene) -> np.ndarray:
        """The scene as a new uint8 RGB picture, (height, width, 3)."""
        image = self._pitch.copy()
        for mark in scene.marks:
            if mark.kind in _MARKS_BELOW:
                self._mark(image, mark)
        for player in range(NUM_PLAYERS):
            if player != scene.holder:
                self._player(image, player, scene)
        if scene.holder is not None:
            place = self._place(scene, scene.holder)
            self._shape(
                image, place, HALO_OUTER, paint.ring(self._px(HALO_INNER), self._px(HALO_OUTER)), HALO_COLOUR
            )
            self._player(image, scene.holder, scene)
        self._ball(image, scene)
        for mark in scene.marks:
            if mark.kind not in _MARKS_BELOW:
                self._mark(image, mark)
        return image

    def _player(self, image: np.ndarray, player: int, scene: Scene) -> None:
        place, team = self._place(scene, player), team_of(player)
        discs = [(PLAYER_RADIUS, _OUTLINE), (PLAYER_RADIUS - 0.35, self._kits[team])]
        if player == keeper_of(team):
            discs.append((0.8, _GLOVES))
        paint.paint_discs(image, self._pixel(place), [(self._px(radius), colour) for radius, colour in discs])

    def _ball(self, image: np.ndarray, scene: Scene) -> None:
        if scene.trail is not None:
            x, y = (self._px(scene.trail[axis] - scene.ball[axis]) for axis in (0, 1))
            shot = scene.travel is Travel.SHOT
            for half, colour in (
                ((1.5, FLAME_COLOUR), (0.8, FLASH_COLOUR)) if shot else ((0.5, FLASH_COLOUR),)
            ):
                reach = (abs(x) + self._px(half), abs(y) + self._px(half))
                paint.paint(image, self._pixel(scene.ball), reach, paint.stroke(x, y, self._px(half)), colour)
        discs = [(self._px(BALL_RADIUS), _OUTLINE), (self._px(BALL_RADIUS - 0.25), BALL_COLOUR)]
        paint.paint_discs(image, self._pixel(scene.ball), discs)

    def _mark(self, image: np.ndarray, mark: Mark) -> None:
        px = self._px
        if mark.kind is Kind.KICK_OFF:
            self._shape(image, mark.place, 7.0, paint.disc(px(7.0)), HALO_COLOUR, 0.6)
        elif mark.kind is Kind.STEAL:
            self._shape(image, mark.place, 7.0, paint.burst(px(7.0), px(1.6)), FLASH_COLOUR)
        elif mark.kind is Kind.GOAL:
            self._goal_flash(image, mark.place)
        elif mark.kind is Kind.SCORE:
            self._shape(image, mark.place, 7.0, paint.box(px(6.0), px(1.2)), REFEREE_COLOUR)
        elif mark.kind is Kind.FOUL and mark.team is not None:
            shape = paint.ring(px(FOUL_INNER), px(FOUL_OUTER))
            self._shape(image, mark.place, FOUL_OUTER, shape, self._kits[mark.team])
        elif mark.kind is Kind.FREE_KICK:
            self._shape(image, mark.place, 6.5, paint.diamond(px(3.6), px(6.5)), REFEREE_COLOUR)
        elif mark.kind is Kind.CARD:
            self._shape(image, mark.place, 5.0, paint.box(px(3.2), px(4.6)), _OUTLINE)
            self._shape(image, mark.place, 5.0, paint.box(px(2.8), px(4.2)), REFEREE_COLOUR)

    def _goal_flash(self, image: np.ndarray, place: Place) -> None:
        side = 1 if place[0] > 0 else -1
        net = (place[0] + side * NET_DEPTH / 2, 0.0)
        shape = paint.box(self._px(NET_DEPTH / 2 + 0.5), self._px(GOAL_HALF_WIDTH + 1.0))
        self._shape(image, net, 7.0, shape, FLASH_COLOUR)

    def _shape(
        self,
        image: np.ndarray,
        place: Place,
        reach: float,
        outside: Distance,
        colour: Colour,
        opacity: float = 1.0,
    ) -> None:
        pixels = self._px(reach)
        paint.paint(image, self._pixel(place), (pixels, pixels), outside, colour, opacity)

    def _place(self, scene: Scene, player: int) -> Place:
        return float(scene.places[player, 0]), float(scene.places[player, 1])

    def _pixel(self, place: Place) -> tuple[float, float]:
        return self._middle[0] + self._px(place[0]), self._middle[1] + self._px(place[1])

    def _px(self, metres: float) -> float:
        return metres * self._scale
