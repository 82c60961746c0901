"""A match as files: a video and its truth. They are what a stream of it would have seen."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.setup import draw_setup
from svlm_cli.arena.source import ArenaSource
from svlm_cli.arena.truth import truth
from svlm_cli.arena.voice import SAMPLE_RATE
from svlm_cli.errors import UsageError

_CRF = "16"
_KEY_SECONDS = 2
_BT601 = 6
_LIMITED_RANGE = 1


def write_video(address: ArenaAddress, path: Path, sound: np.ndarray | None = None) -> None:
    """Write the match as H.264 in MP4.

    Args:
        address: which match.
        path: of the new file.
        sound: int16, shape (n,), at ``voice.SAMPLE_RATE``, as AAC; None for a video without sound.

    Raises:
        UsageError: the match never ends, or a side of the picture is odd (the format has half-size
            colour planes).
    """
    import av

    require_end(address)
    if address.width % 2 or address.height % 2:
        raise UsageError(
            f"an mp4 needs even sides, not {address.width}x{address.height}",
            f"e.g. size={address.width & ~1}x{address.height & ~1}",
        )
    rate = Fraction(address.fps).limit_denominator(1001)
    with ArenaSource(address) as source, av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": _CRF, "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = address.width, address.height, "yuv420p"
        stream.codec_context.gop_size = max(1, round(_KEY_SECONDS * address.fps))
        if sound is not None:
            voice_stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED_RANGE
        for number, image in enumerate(source.frames()):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _add_sound(container, voice_stream, sound)


def _add_sound(container: Any, stream: Any, sound: np.ndarray) -> None:
    import av

    for start in range(0, len(sound), SAMPLE_RATE):
        piece = sound[None, start : start + SAMPLE_RATE]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_truth(address: ArenaAddress, path: Path) -> None:
    """Write ``{"address", "opening_text", "setup": {...}, "seconds": [TruthSecond, ...]}`` as JSON.

    Raises:
        UsageError: the match never ends.
    """
    require_end(address)
    setup = draw_setup(address.sport, address.seed)
    document = {
        "address": str(address),
        "opening_text": setup.opening_text,
        "setup": asdict(setup),
        "seconds": [record.to_json() for record in truth(address)],
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def require_end(address: ArenaAddress) -> None:
    """Make sure that a match can be written to a file.

    Raises:
        UsageError: it never ends.
    """
    if math.isinf(address.minutes):
        raise UsageError(
            f"{address} never ends and cannot be written to a file", "give it a length, e.g. minutes=10"
        )
