"""A match as files: a video and its truth. They are what a stream of it would have seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from svlm_cli.arena.address import ArenaAddress, shortest
from svlm_cli.arena.setup import draw_setup
from svlm_cli.arena.source import ArenaSource
from svlm_cli.arena.truth import TruthSecond, truth
from svlm_cli.arena.voice import SAMPLE_RATE
from svlm_cli.errors import UsageError

LONGEST_FILE_MINUTES = 24 * 60
_CRF = "16"
_KEY_SECONDS = 2
_BT601 = 6
_LIMITED_RANGE = 1


def write_video(
    address: ArenaAddress,
    path: Path,
    sound: np.ndarray | None = None,
    on_second: Callable[[int], None] = lambda _num_bytes: None,
) -> None:
    """Write the match as H.264 in MP4.

    Args:
        address: which match.
        path: the path of the new file.
        sound: int16, shape (n,), at ``voice.SAMPLE_RATE``, as AAC; None for a video without sound.
        on_second: called with the bytes written after each second of frames; what it raises ends the work.

    Raises:
        UsageError: the match is too long for a file, or a side of the picture is odd (the format has
            half-size colour planes).
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
        num_bytes = 0
        for number, image in enumerate(source.frames()):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            packets = stream.encode(frame)
            container.mux(packets)
            num_bytes += sum(packet.size for packet in packets)
            if number % round(address.fps) == 0:
                on_second(num_bytes)
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


def write_truth(address: ArenaAddress, path: Path, records: Iterable[TruthSecond] | None = None) -> None:
    """Write ``{"address", "opening_text", "setup": {...}, "seconds": [TruthSecond, ...]}`` as JSON.

    Args:
        address: which match.
        path: the path of the new file.
        records: its truth, where the caller watches over it; None to work it out here.

    Raises:
        UsageError: the match is too long for a file.
    """
    require_end(address)
    setup = draw_setup(address.sport, address.seed)
    head = {"address": str(address), "opening_text": setup.opening_text, "setup": asdict(setup)}
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps(head)[:-1]}, "seconds": [')
        for number, record in enumerate(truth(address) if records is None else records):
            file.write(f"{', ' if number else ''}{json.dumps(record.to_json())}")
        file.write("]}")


def file_name(address: ArenaAddress) -> str:
    """Of the match's files, without their suffix; two matches, or two pictures of one, have two names."""
    numbers = f"{shortest(address.minutes)}min-{shortest(address.fps)}fps-{address.width}x{address.height}"
    return f"arena-{address.sport}-{address.seed}-{numbers}".replace(".", "_")


def require_end(address: ArenaAddress) -> None:
    """Make sure that a match can be written to a file.

    Raises:
        UsageError: it is longer than a day.
    """
    if address.minutes > LONGEST_FILE_MINUTES:
        raise UsageError(
            f"{address} is too long to be written to a file: {LONGEST_FILE_MINUTES} minutes at most",
            "give it a length, e.g. minutes=10",
        )
