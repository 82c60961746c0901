"""From a decoded frame to an upright RGB image of the video's one size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from svlm_cli.media.container import MOST_PIXELS, DamageError, libav
from svlm_cli.media.file.colours import UNSTATED, Colours, StatedColours
from svlm_cli.media.file.fields import Deinterlacer, Woven
from svlm_cli.media.source import Appearance
from svlm_cli.settings import Deinterlace, Viewing

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

SQUARE = Fraction(1)
# No standard has pixels of another shape than 1:2 to 3:1: what claims more is damaged.
_WIDEST_PIXEL = 8
_per_thread = threading.local()


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


def believed_aspect(claimed: Fraction | None) -> Fraction:
    """Width of a pixel over its height; square where a claim is absent or absurd."""
    if claimed is None or not Fraction(1, _WIDEST_PIXEL) <= claimed <= _WIDEST_PIXEL:
        return SQUARE
    return claimed


class RgbConverter:
    """Converts frames of any pixel format to RGB24 of one displayed size.

    Colours follow the frame's own tags (``Colours`` has the rule for what they do not say); alpha is dropped,
    not blended. Pixels that are not square are made so, by width. A frame of another size (the resolution or
    the shape of pixels may change within a file) is scaled to the first one's.

    Args:
        viewing: whether that is so, or samples are converted as they are stored: as square pixels, BT.601
            where there is no tag, and with high dynamic range cut to 8 bits.
        pixel_aspect: width of a pixel over its height, as the container claims; None where it does not.
        stated: what the container says of colours.

    Attributes:
        width: the width of the images, as displayed; 0 until ``fits``.
        height: likewise.
        orientation: the orientation of the first frame; each frame is turned by its own.
        appearance: the appearance of the first frame.
    """

    def __init__(
        self, viewing: Viewing, pixel_aspect: Fraction | None, stated: StatedColours = UNSTATED
    ) -> None:
        from av.video.reformatter import VideoReformatter

        self.width = 0
        self.height = 0
        self.orientation = Orientation()
        self.appearance = Appearance()
        self._viewing = viewing
        self._claimed_aspect = pixel_aspect
        self._stated = stated
        self._pixel_aspect = SQUARE if viewing.is_raw else believed_aspect(pixel_aspect)
        self._reformatter = VideoReformatter()
        self._deinterlacer = Deinterlacer()
        self._last: np.ndarray | None = None

    def fits(self, frame: VideoFrame) -> bool:
        """Take the size of all images from the first frame that has one; whether it is known now."""
        if self.width:
            return True
        width = shown_width(frame.width, self._pixel_aspect)
        if 0 < width * frame.height <= MOST_PIXELS:
            try:
                with libav():
                    self._stated = self._stated.beside(frame)
                    self.orientation = Orientation.of_frame(frame)
                    self.appearance = self._appearance(frame)
            except DamageError:
                return False
            self.width, self.height = self.orientation.size(width, frame.height)
        return self.width > 0

    def rgb(self, picture: VideoFrame | Woven, on_failure: Callable[[], None]) -> np.ndarray:
        """The image of a frame: uint8, (height, width, 3); may be a view, do not write to it.

        Args:
            picture: the picture to convert; deinterlaced first where it is ``Woven``.
            on_failure: told that it cannot be converted; the image made before is given instead.

        Raises:
            DamageError: it cannot be converted, and no other has been.
        """
        try:
            with libav():
                if isinstance(picture, Woven):
                    orientation = Orientation.of_frame(picture.frame)
                    self._last = self._converted(self._deinterlacer.whole(picture), orientation)
                else:
                    self._last = self._converted(picture, Orientation.of_frame(picture))
        except DamageError:
            if self._last is None:
                raise
            on_failure()
        return self._last

    def _converted(self, frame: VideoFrame, orientation: Orientation) -> np.ndarray:
        width, height = orientation.size(self.width, self.height)
        colours = Colours.of_frame(frame, as_displayed=not self._viewing.is_raw, stated=self._stated)
        colours.tag(frame)
        # One scaler for all frames: a scaler per frame costs more than the conversion.
        reformatter = _tone_mapper() if colours.curve else self._reformatter
        converted = reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation="BICUBIC",
            threads=1,
            **colours.options,
        )
        image: np.ndarray = converted.to_ndarray()
        return orientation.apply(image)

    def _appearance(self, frame: VideoFrame) -> Appearance:
        is_interlaced = bool(frame.interlaced_frame)
        return appearance(
            frame, self._claimed_aspect, self._viewing, is_interlaced=is_interlaced, stated=self._stated
        )


def appearance(
    tagged: VideoFrame | VideoCodecContext,
    pixel_aspect: Fraction | None,
    viewing: Viewing,
    *,
    is_interlaced: bool | None = None,
    stated: StatedColours = UNSTATED,
) -> Appearance:
    """How pictures are shown.

    Args:
        tagged: the first of them, or a decoder that knows their tags.
        pixel_aspect: as the container claims.
        viewing: how it is to be.
        is_interlaced: whether the first has two fields; None where it has not come yet.
        stated: what the container says of colours.
    """
    stored, shown = (Colours.of_frame(tagged, as_displayed=each, stated=stated) for each in (False, True))
    colours = stored if viewing.is_raw else shown
    believed = believed_aspect(pixel_aspect)
    aspect = SQUARE if viewing.is_raw else believed
    mode = Deinterlace.OFF if viewing.is_raw else viewing.deinterlace
    return Appearance(
        pixel_aspect=f"{aspect.numerator}:{aspect.denominator}",
        is_interlaced=is_interlaced,
        is_deinterlaced=is_interlaced if mode is Deinterlace.AUTO else mode is Deinterlace.ON,
        matrix=colours.name,
        is_matrix_assumed=colours.is_assumed,
        tone_mapped=colours.curve,
        is_plain=believed == SQUARE and not is_interlaced and stored == shown,
    )


def shown_width(width: int, pixel_aspect: Fraction) -> int:
    """Width of a picture whose pixels are made square."""
    return max(1, round(width * pixel_aspect)) if width > 0 else 0


def _tone_mapper() -> VideoReformatter:
    """One a thread, kept: preparing it takes over a second, and training opens a video for each chunk."""
    from av.video.reformatter import VideoReformatter

    if not hasattr(_per_thread, "tone_mapper"):
        _per_thread.tone_mapper = VideoReformatter()
    found: VideoReformatter = _per_thread.tone_mapper
    return found
