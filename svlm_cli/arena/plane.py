"""The plane the match is played on, in metres: (0, 0) is the centre, x grows right, y downwards.

Only additions, multiplications, divisions and square roots, which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

import math

Place = tuple[float, float]

WORLD_WIDTH, WORLD_HEIGHT = 60.0, 40.0
PITCH_X, PITCH_Y = 26.0, 17.5
GOAL_HALF_WIDTH, NET_DEPTH = 5.0, 3.0


def clamp(value: float, limit: float) -> float:
    """The nearest number in [-limit, limit]."""
    return max(-limit, min(limit, value))


def squared_distance(a: Place, b: Place) -> float:
    """Square of the distance of two places."""
    x, y = a[0] - b[0], a[1] - b[1]
    return x * x + y * y


def distance(a: Place, b: Place) -> float:
    """Distance of two places (``math.dist`` may round otherwise in another Python)."""
    return math.sqrt(squared_distance(a, b))


def between(a: Place, b: Place, share: float) -> Place:
    """The place that far (0 to 1) on the way from ``a`` to ``b``."""
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
