"""Smooth-edged shapes on a uint8 picture, by signed distance.

Pixel (row, column) has its centre at (column + 0.5, row + 0.5). All arithmetic is elementwise float32
or integer, so the same call gives the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

Colour = tuple[int, int, int]
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
_SPOKES = ((1.0, 0.0), (0.0, 1.0), (0.7071, 0.7071), (0.7071, -0.7071))


def paint(
    image: np.ndarray,
    centre: tuple[float, float],
    reach: tuple[float, float],
    outside: Distance,
    colour: Colour,
    opacity: float = 1.0,
) -> None:
    """Blend a shape into ``image``, in place; what falls outside the picture is left out.

    Args:
        image: uint8 RGB, (height, width, 3), contiguous.
        centre: (x, y) in pixels.
        reach: half width and half height of a box around the centre that holds the shape.
        outside: from x (1, w) and y (h, 1) relative to the centre, the distance in pixels to the shape's
            edge, negative inside; the edge is one pixel soft.
        colour: RGB.
        opacity: 0 to 1.
    """
    box = _box(image, centre, reach)
    if box is not None:
        patch, x, y = box
        _blend(patch, outside(x, y), colour, opacity)


def paint_discs(
    image: np.ndarray, centre: tuple[float, float], discs: Sequence[tuple[float, Colour]]
) -> None:
    """Blend discs about one centre, the largest first: as ``paint`` one after another, worked out together.

    Args:
        image: uint8 RGB, (height, width, 3), contiguous.
        centre: (x, y) in pixels.
        discs: radius in pixels and colour of each.
    """
    box = _box(image, centre, (discs[0][0], discs[0][0]))
    if box is not None:
        patch, x, y = box
        away = np.sqrt(x * x + y * y)
        for radius, colour in discs:
            _blend(patch, away - np.float32(radius), colour, 1.0)


def disc(radius: float) -> Distance:
    """A filled circle."""
    return lambda x, y: np.sqrt(x * x + y * y) - np.float32(radius)


def ring(inner: float, outer: float) -> Distance:
    """The area between two circles."""
    middle, half = np.float32((inner + outer) / 2), np.float32((outer - inner) / 2)
    return lambda x, y: np.abs(np.sqrt(x * x + y * y) - middle) - half


def diamond(inner: float, outer: float) -> Distance:
    """The area between two squares that stand on a corner."""
    middle, half = np.float32((inner + outer) / 2), np.float32((outer - inner) / 2)
    return lambda x, y: np.float32(0.7071) * (np.abs(np.abs(x) + np.abs(y) - middle) - half)


def box(half_width: float, half_height: float) -> Distance:
    """A filled rectangle."""
    return lambda x, y: np.maximum(np.abs(x) - np.float32(half_width), np.abs(y) - np.float32(half_height))


def stroke(to_x: float, to_y: float, half_width: float) -> Distance:
    """A round-ended line from the centre to (to_x, to_y), which is relative to the centre."""
    a, b, half = np.float32(to_x), np.float32(to_y), np.float32(half_width)
    length = np.float32(max(to_x * to_x + to_y * to_y, 1e-6))

    def outside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        share = np.clip((x * a + y * b) / length, 0.0, 1.0)
        off_x, off_y = x - share * a, y - share * b
        distance: np.ndarray = np.sqrt(off_x * off_x + off_y * off_y) - half
        return distance

    return outside


def burst(radius: float, half_width: float) -> Distance:
    """A star of eight spikes that grow thin towards their tips."""
    half, end = np.float32(half_width), np.float32(radius)

    def outside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        spikes = []
        for a, b in _SPOKES:
            along, across = (
                np.abs(x * np.float32(a) + y * np.float32(b)),
                np.abs(x * np.float32(b) - y * np.float32(a)),
            )
            spikes.append(across - half * (1 - along / end))
        nearest: np.ndarray = np.minimum.reduce(spikes)
        return nearest

    return outside


def _box(
    image: np.ndarray, centre: tuple[float, float], reach: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What of the picture is around a centre, a view (h, 3 * w); x (1, w) and y (h, 1). None outside it."""
    left, right = _span(centre[0], reach[0], image.shape[1])
    top, bottom = _span(centre[1], reach[1], image.shape[0])
    if left >= right or top >= bottom:
        return None
    x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - centre[0])
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - centre[1])
    return image.reshape(len(image), -1)[top:bottom, 3 * left : 3 * right], x, y


def _blend(patch: np.ndarray, distance: np.ndarray, colour: Colour, opacity: float) -> None:
    """Colour a patch (h, 3 * w) where the distance (h, w) is within a shape."""
    weight = 256 * opacity * (0.5 - distance).clip(0.0, 1.0)
    alpha = weight.astype(np.int32).repeat(3, axis=1)
    patch[...] = patch + (((_row(colour, distance.shape[1]) - patch) * alpha + 128) >> 8)


@lru_cache(maxsize=512)
def _row(colour: Colour, width: int) -> np.ndarray:
    row = np.tile(np.array(colour, np.int32), width)
    row.setflags(write=False)
    return row


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    return max(0, int(centre - reach) - 1), min(size, int(centre + reach) + 2)
