"""Words drawn on pictures (PyAV's wheels have no filter that draws text)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from svlm_cli.stream.outputs.cues import columns

LINE_SHARE, MARGIN_SHARE = 0.065, 0.04
SHADE = 0.65
_LATIN = ("DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc")
_WIDE = ("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "PingFang.ttc", "wqy-zenhei.ttc")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Subtitles:
    """Draws lines at the bottom of pictures, white on a dark box.

    Args:
        width, height: the size of the pictures, in pixels; larger ones lose their right and lower edges.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._lines: Sequence[str] = ()
        self._box: tuple[int, int, np.ndarray] | None = None

    def drawn(self, image: np.ndarray, lines: Sequence[str]) -> np.ndarray:
        """A picture with lines on it.

        Args:
            image: uint8 RGB, shape (height, width, 3).
            lines: none for the picture as it is.
        """
        width, height = self._size
        picture = np.ascontiguousarray(image[:height, :width])
        if not lines:
            return picture
        if tuple(lines) != self._lines or self._box is None:
            self._lines, self._box = tuple(lines), self._made(lines)
        top, left, text = self._box
        picture = picture.copy()
        bottom, right = top + text.shape[0], left + text.shape[1]
        under = picture[top:bottom, left:right].astype(np.float32) * (1 - SHADE)
        light = text[..., np.newaxis].astype(np.float32) / 255
        picture[top:bottom, left:right] = (under * (1 - light) + 255 * light).astype(np.uint8)
        return picture

    def _made(self, lines: Sequence[str]) -> tuple[int, int, np.ndarray]:
        """Where the box lies, and how light its pixels are."""
        width, height = self._size
        size = max(8, round(height * LINE_SHARE))
        is_wide = any(columns(line) > len(line) for line in lines)
        font = _font(size, is_wide=is_wide)
        while size > 8 and max(font.getlength(line) for line in lines) > width * 0.94:
            size -= 1
            font = _font(size, is_wide=is_wide)
        pad, line_height = size // 3, round(size * 1.25)
        box_width = min(width, round(max(font.getlength(line) for line in lines)) + 2 * pad)
        box_height = min(height, line_height * len(lines) + 2 * pad)
        canvas = Image.new("L", (box_width, box_height))
        pen = ImageDraw.Draw(canvas)
        for number, line in enumerate(lines):
            at = ((box_width - font.getlength(line)) / 2, pad + number * line_height)
            pen.text(at, line, fill=255, font=font)
        top = max(0, height - box_height - round(height * MARGIN_SHARE))
        return top, (width - box_width) // 2, np.asarray(canvas)


@lru_cache(maxsize=64)
def _font(size: int, *, is_wide: bool) -> Font:
    """A font of the system, else Pillow's own, which has Latin letters alone."""
    for name in (*_WIDE, *_LATIN) if is_wide else _LATIN:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
