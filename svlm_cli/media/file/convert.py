"""From a decoded frame to an upright RGB image of the video's one size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from svlm_cli.media.container import MOST_PIXELS, DamageError, libav

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is turned for display: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> Orientation:
        """Read the display matrix (libavutil/display.h: x' = ax + cy, y' = bx + dy).

        An angle that is no multiple of 90 degrees is taken to the nearest one.
        """
        from av.sidedata.sidedata import SideDataContainer

        # Not frame.side_data: a frame that holds its container, which holds the frame, stays with the pool of
        # its decoder until Python's collector comes by, and that counts objects and not bytes.
        side_data: Any = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
        if side_data is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(side_data, dtype=np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(mirror_x=a < 0, mirror_y=d < 0)
        return cls(transpose=True, mirror_x=c < 0, mirror_y=b < 0)

    @property
    def is_mirrored(self) -> bool:
        """Whether no rotation alone turns the picture upright."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Displayed (width, height) of a stored one, and the other way round."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn an image (height, width, 3); the result may be a view."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        return image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


class RgbConverter:
    """Converts frames of any pixel format to RGB24 of one displayed size.

    Colours follow the frame's own colour space and range tags (BT.601 where there are none); alpha
    is dropped, not blended; high dynamic range is cut to 8 bits without tone mapping. A frame of
    another size (the resolution may change within a file) is scaled to the first one's. Pixels are
    taken as square: a sample aspect ratio is ignored, as the models' own preprocessing ignores it.

    Attributes:
        width: of the images, as displayed; 0 until ``fits``.
        height: likewise.
        orientation: of the first frame; each frame is turned by its own.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self.width = 0
        self.height = 0
        self.orientation = Orientation()
        self._reformatter = VideoReformatter()
        self._last: np.ndarray | None = None

    def fits(self, frame: VideoFrame) -> bool:
        """Take the size of all images from the first frame that has one; whether it is known now."""
        if not self.width and 0 < frame.width * frame.height <= MOST_PIXELS:
            try:
                with libav():
                    self.orientation = Orientation.of_frame(frame)
            except DamageError:
                return False
            self.width, self.height = self.orientation.size(frame.width, frame.height)
        return self.width > 0

    def rgb(self, frame: VideoFrame, on_failure: Callable[[], None]) -> np.ndarray:
        """The image of a frame: uint8, (height, width, 3); may be a view, do not write to it.

        Args:
            frame: to convert.
            on_failure: told that it cannot be converted; the image made before is given instead.

        Raises:
            DamageError: it cannot be converted, and no other has been.
        """
        try:
            with libav():
                self._last = self._converted(frame)
        except DamageError:
            if self._last is None:
                raise
            on_failure()
        return self._last

    def _converted(self, frame: VideoFrame) -> np.ndarray:
        orientation = Orientation.of_frame(frame)
        width, height = orientation.size(self.width, self.height)
        # One scaler for all frames: a scaler per frame costs more than the conversion.
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1
        )
        image: np.ndarray = converted.to_ndarray()
        return orientation.apply(image)
