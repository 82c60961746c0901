"""The newest pictures of a channel, small, for whoever looks on."""

from __future__ import annotations

import bisect
import io
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svlm_cli.types import Clip

if TYPE_CHECKING:
    import numpy as np

KEPT_PICTURES = 300
KEPT_UNSEEN = 4
PICTURE_WIDTH, MOST_HEIGHT = 640, 4096  # JPEG ends at 65,500
PICTURE_QUALITY = 80


@dataclass(frozen=True, slots=True, eq=False)
class _ShownFrame:
    """The last frame of a step: as a JPEG, or as it is where nobody has looked on."""

    start_seconds: float
    end_seconds: float
    picture: bytes | np.ndarray


class PictureShelf:
    """The last frame of each of the newest steps; kept by the reader's thread, looked at from another.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = KEPT_PICTURES) -> None:
        self._lock = threading.Lock()
        self._shown: deque[_ShownFrame] = deque(maxlen=most)

    def keep(self, clip: Clip, *, is_seen: bool) -> None:
        """Keep a clip's last frame; as it is, and only the newest few of these, while nobody looks on."""
        frame = clip.frames[-1]
        picture = small_jpeg(frame) if is_seen else frame.copy()
        with self._lock:
            unseen = [each for each in self._shown if not isinstance(each.picture, bytes)]
            for old in unseen[: len(unseen) + 1 - KEPT_UNSEEN]:
                self._shown.remove(old)
            while self._shown and self._shown[-1].start_seconds >= clip.start_seconds:
                self._shown.pop()
            self._shown.append(_ShownFrame(clip.start_seconds, clip.end_seconds, picture))

    def at(self, seconds: float | None) -> bytes | None:
        """The JPEG of the step that holds this second, the newest where it is None; None where it is gone."""
        with self._lock:
            found = self._find(seconds)
        if found is None:
            return None
        return found.picture if isinstance(found.picture, bytes) else small_jpeg(found.picture)

    def _find(self, seconds: float | None) -> _ShownFrame | None:
        if not self._shown:
            return None
        if seconds is None:
            return self._shown[-1]
        # Who asks was told three decimals.
        place = bisect.bisect_right([round(each.start_seconds, 3) for each in self._shown], seconds) - 1
        found = self._shown[place] if place >= 0 else None
        return found if found is not None and seconds < found.end_seconds else None


def small_jpeg(frame: np.ndarray) -> bytes:
    """A frame, uint8 RGB (height, width, 3), as a JPEG no wider than a page shows it, and never a tower."""
    from PIL import Image

    image = Image.fromarray(frame)
    if image.width > PICTURE_WIDTH or image.height > MOST_HEIGHT:
        image.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=PICTURE_QUALITY)
    return out.getvalue()
