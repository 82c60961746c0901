"""The empty pitch: grass, lines and nets, drawn once per size."""

from __future__ import annotations

import numpy as np

from svlm_cli.arena import paint
from svlm_cli.arena.paint import Colour, Distance
from svlm_cli.arena.plane import GOAL_HALF_WIDTH, NET_DEPTH, PITCH_X, PITCH_Y

_GRASS: tuple[Colour, Colour] = ((92, 156, 78), (84, 146, 71))
_OUTER_GRASS: Colour = (70, 124, 62)
_LINE: Colour = (196, 222, 190)
_NET: Colour = (150, 166, 150)
_NUM_STRIPES = 10
_LINE_WIDTH = 0.3
_BOX_DEPTH, _BOX_HALF_WIDTH = 7.0, 9.0
CIRCLE_RADIUS = 6.0


def draw_pitch(width: int, height: int, scale: float) -> np.ndarray:
    """The pitch without players.

    Args:
        width, height: the width and height of the picture, pixels; the pitch lies in its middle.
        scale: pixels per metre.

    Returns:
        uint8 RGB, (height, width, 3).
    """
    image = np.empty((height, width, 3), np.uint8)
    image[...] = _OUTER_GRASS

    def shape(x: float, y: float, reach_x: float, reach_y: float, outside: Distance, colour: Colour) -> None:
        centre = (width / 2 + x * scale, height / 2 + y * scale)
        paint.paint(image, centre, (reach_x * scale, reach_y * scale), outside, colour)

    def area(x: float, y: float, half_width: float, half_height: float, colour: Colour) -> None:
        outside = paint.box(half_width * scale, half_height * scale)
        shape(x, y, half_width + 1, half_height + 1, outside, colour)

    stripe = 2 * PITCH_X / _NUM_STRIPES
    for index in range(_NUM_STRIPES):
        area(-PITCH_X + (index + 0.5) * stripe, 0, stripe / 2, PITCH_Y, _GRASS[index % 2])
    half = max(_LINE_WIDTH, 1 / scale) / 2
    for side in (-1, 1):
        area(side * (PITCH_X + NET_DEPTH / 2), 0, NET_DEPTH / 2, GOAL_HALF_WIDTH, _NET)
        area(side * PITCH_X, 0, half, PITCH_Y + half, _LINE)
        area(0, side * PITCH_Y, PITCH_X + half, half, _LINE)
        area(side * (PITCH_X - _BOX_DEPTH), 0, half, _BOX_HALF_WIDTH, _LINE)
        for end in (-1, 1):
            area(side * (PITCH_X - _BOX_DEPTH / 2), end * _BOX_HALF_WIDTH, _BOX_DEPTH / 2, half, _LINE)
    area(0, 0, half, PITCH_Y, _LINE)
    circle = paint.ring((CIRCLE_RADIUS - half) * scale, (CIRCLE_RADIUS + half) * scale)
    shape(0, 0, CIRCLE_RADIUS + 1, CIRCLE_RADIUS + 1, circle, _LINE)
    return image
