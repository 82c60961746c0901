"""By which matrix and curve a frame's samples become RGB: what libswscale is told, and what it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

# Numbers of ITU-T H.273, which libav and PyAV use.
_BT709, _BT601, _BT2020 = 1, 5, 9
_UNTAGGED = 2
_PQ, _HLG = 16, 18
_NAMES = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
# Matrices that libswscale cannot read, and what comes closest.
_CLOSEST = {10: _BT2020}
_CURVES = {_HLG: "HLG", _PQ: "PQ"}
_CURVE_NUMBERS = {name: number for number, name in _CURVES.items()}
# More lines than PAL has, or a width that no standard definition has: as mpv decides.
_SD_LINES, _HD_WIDTH = 576, 1280


@dataclass(frozen=True, slots=True)
class StatedColours:
    """What a container says of colours, in numbers of H.273, where the pictures' own data says nothing.

    Args:
        matrix: the YUV matrix.
        curve: the transfer characteristics.
    """

    matrix: int = _UNTAGGED
    curve: int = _UNTAGGED

    @classmethod
    def of(cls, decoder: VideoCodecContext) -> StatedColours:
        """That of a decoder that has decoded nothing yet, after which it is lost."""
        return cls(int(decoder.colorspace), int(decoder.color_trc))

    def beside(self, first: VideoFrame) -> StatedColours:
        """What of it the first picture does not say itself."""
        return StatedColours(
            self.matrix if int(first.colorspace) == _UNTAGGED else _UNTAGGED,
            self.curve if int(first.color_trc) == _UNTAGGED else _UNTAGGED,
        )


UNSTATED = StatedColours()


@dataclass(frozen=True, slots=True)
class Colours:
    """How the samples of a frame are read.

    Args:
        matrix: number of the YUV matrix; None for frames that have none (RGB, grey).
        is_assumed: whether no tag that can be read says so.
        curve: ``HLG`` or ``PQ`` where high dynamic range is brought to standard, else empty.
        is_told: whether libswscale would not take this matrix by itself.
    """

    matrix: int | None
    is_assumed: bool
    curve: str
    is_told: bool

    @classmethod
    def of_frame(
        cls, frame: VideoFrame | VideoCodecContext, *, as_displayed: bool, stated: StatedColours = UNSTATED
    ) -> Colours:
        """Read tags.

        Args:
            frame: decoded, or a decoder that knows the tags of what is to come.
            as_displayed: believe the container, take HD without tags for BT.709, and bring high dynamic range
                to standard; else what has no tag is BT.601, and no curve is undone.
            stated: what the container says.
        """
        stated = stated if as_displayed else UNSTATED
        own = int(frame.color_trc)
        curve = _CURVES.get(stated.curve if own == _UNTAGGED else own, "") if as_displayed else ""
        if not _has_matrix(frame):
            return cls(None, is_assumed=False, curve=curve, is_told=False)
        tag = int(frame.colorspace)
        is_stated = tag == _UNTAGGED and stated.matrix in _NAMES
        if is_stated or tag in _NAMES:
            return cls(stated.matrix if is_stated else tag, is_assumed=False, curve=curve, is_told=is_stated)
        if tag in _CLOSEST:
            return cls(_CLOSEST[tag], is_assumed=False, curve=curve, is_told=True)
        matrix = _BT601
        if curve:
            matrix = _BT2020
        elif as_displayed and (frame.height > _SD_LINES or frame.width >= _HD_WIDTH):
            matrix = _BT709
        # What has no tag (2) and what has that of RGB (0) libswscale takes for BT.601 by itself.
        return cls(
            matrix, is_assumed=True, curve=curve, is_told=matrix != _BT601 or tag not in (0, _UNTAGGED)
        )

    @property
    def name(self) -> str:
        """Of the matrix; empty where there is none."""
        return "" if self.matrix is None else _NAMES[self.matrix]

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of PyAV's ``reformat``, beside those of size and format."""
        told: dict[str, Any] = {"src_colorspace": self.matrix} if self.is_told else {}
        if self.curve:
            # Whatever PyAV's documentation says, these convert pixels (libswscale of FFmpeg 8).
            told |= {"dst_color_trc": _BT709, "dst_color_primaries": _BT709}
        return told

    def tag(self, frame: VideoFrame) -> None:
        """Give a frame its curve and the primaries that this comes with, where it has none."""
        if self.curve and int(frame.color_trc) == _UNTAGGED:
            frame.color_trc = _CURVE_NUMBERS[self.curve]
        if self.curve and int(frame.color_primaries) == _UNTAGGED:
            frame.color_primaries = _BT2020


def _has_matrix(frame: VideoFrame | VideoCodecContext) -> bool:
    layout = frame.format
    return layout is not None and len(layout.components) > 2 and not layout.is_rgb and not layout.has_palette
