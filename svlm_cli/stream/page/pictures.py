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
KEPT_UNSEEN = 30  # of which nobody has seen any
KEPT_AS_THEY_ARE = 4  # of these; older ones are made smaller
UNSEEN_SIDE = 320
PICTURE_WIDTH, MOST_HEIGHT = 640, 4096  # JPEG ends at 65,500
PICTURE_QUALITY = 80


@dataclass(slots=True, eq=False)
class _ShownFrame:
    """The last frame of a step: as a JPEG, or as pixels that nobody has asked for yet."""

    start_seconds: float
    end_seconds: float
    picture: bytes | np.ndarray


class PictureShelf:
    """The last frame of each of the newest steps; kept by the reader's thread, looked at from another.

    What nobody looks at is not encoded before somebody asks for it.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = KEPT_PICTURES) -> None:
        self._lock = threading.Lock()
        self._shown: deque[_ShownFrame] = deque(maxlen=most)

    def keep(self, clip: Clip, *, is_seen: bool) -> None:
        """Keep a clip's last frame: as a JPEG, or as pixels, fewer of these, while nobody looks on."""
        frame = clip.frames[-1]
        picture = small_jpeg(frame) if is_seen else frame.copy()
        with self._lock:
            while self._shown and self._shown[-1].start_seconds >= clip.start_seconds:
                self._shown.pop()
            self._shown.append(_ShownFrame(clip.start_seconds, clip.end_seconds, picture))
            unseen = [each for each in self._shown if not isinstance(each.picture, bytes)]
            for old in unseen[:-KEPT_UNSEEN]:
                self._shown.remove(old)
            for old in unseen[-KEPT_UNSEEN:-KEPT_AS_THEY_ARE]:
                assert not isinstance(old.picture, bytes)
                old.picture = _smaller(old.picture)

    def at(self, seconds: float | None) -> bytes | None:
        """The JPEG of the step that holds this second, the newest where it is None; None where it is gone."""
        with self._lock:
            found = self._find(seconds)
        if found is None:
            return None
        picture = found.picture
        if not isinstance(picture, bytes):
            picture = small_jpeg(picture)
            with self._lock:
                found.picture = picture
        return picture

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


def _smaller(frame: np.ndarray) -> np.ndarray:
    """A frame, uint8 RGB, no side of it above ``UNSEEN_SIDE``; itself where it is small."""
    if max(frame.shape[:2]) <= UNSEEN_SIDE:
        return frame
    import numpy as np
    from PIL import Image

    image = Image.fromarray(frame)
    image.thumbnail((UNSEEN_SIDE, UNSEEN_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image)
