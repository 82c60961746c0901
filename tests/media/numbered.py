"""Test videos whose pictures carry their own number, and ffprobe's word on when each is shown."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

NUM_BITS = 8
WIDTH, HEIGHT = 128, 48
MOOV_FIRST = {"movflags": "faststart"}
needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg and ffprobe are not installed"
)


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """An upright RGB picture: its number in white blocks along the upper half, red below."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[height // 2 :, :, 0] = 200
    for bit in range(NUM_BITS):
        if number >> bit & 1:
            image[: height // 2, bit * width // NUM_BITS : (bit + 1) * width // NUM_BITS] = 255
    return image


def number_of(image: np.ndarray) -> int:
    """The number that a picture carries."""
    height, width = image.shape[:2]
    columns = [(2 * bit + 1) * width // (2 * NUM_BITS) for bit in range(NUM_BITS)]
    return sum(int(image[height // 4, column].mean() > 127) << bit for bit, column in enumerate(columns))


def numbers_of(frames: np.ndarray) -> list[int]:
    return [number_of(frame) for frame in frames]


def write_video(
    path: Path,
    ticks: Sequence[int],
    tick: Fraction,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: Fraction | int = 25,
    format_options: dict[str, str] | None = None,
    rotation: tuple[int, bool, bool] | None = None,
    last_ticks: int = 0,
) -> Path:
    """Encode one numbered picture per presentation tick.

    Args:
        tick: seconds per tick.
        size: (width, height) of the upright picture.
        rotation: degrees counterclockwise, mirror x, mirror y for the display matrix; the stored
            pictures are turned the other way, so that players show them upright.
        last_ticks: how long the last picture stays; 0 leaves that to the muxer.
    """
    with av.open(str(path), "w", options=format_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stored = [turned_for(rotation, picture(number, *size)) for number in range(len(ticks))]
        stream.height, stream.width = stored[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = tick
        if rotation is not None:
            degrees, mirror_x, mirror_y = rotation
            stream.set_display_rotation(degrees, hflip=mirror_x, vflip=mirror_y)
        for image, at in [*zip(stored, ticks, strict=True), (None, 0)]:
            frame = None
            if image is not None:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = at, tick
            for packet in stream.encode(frame):
                packet.duration = last_ticks if last_ticks and packet.pts == ticks[-1] else packet.duration
                container.mux(packet)
    return path


def whole_video(folder: Path, name: str = "v.mp4", **more: object) -> Path:
    """Ten seconds at 20 FPS, a keyframe each second."""
    options = {"g": "20", "bf": "0", "preset": "ultrafast", "crf": "10"}
    return write_video(folder / name, range(200), Fraction(1, 20), rate=20, options=options, **more)  # type: ignore[arg-type]


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Position and size in the file of every packet."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def overwrite_packets(path: Path, numbers: range, keep: float = 0.0) -> None:
    """Replace the data of some packets, from a fraction of their length on, but not their container."""
    places = packet_places(path)
    data = bytearray(path.read_bytes())
    for number in numbers:
        position, size = places[number]
        kept = int(size * keep)
        data[position + kept : position + size] = b"\xff" * (size - kept)
    path.write_bytes(data)


def turned_for(rotation: tuple[int, bool, bool] | None, upright: np.ndarray) -> np.ndarray:
    """What to store so that turning and then mirroring it gives ``upright``."""
    if rotation is None:
        return upright
    degrees, mirror_x, mirror_y = rotation
    if mirror_y:
        upright = upright[::-1]
    if mirror_x:
        upright = upright[:, ::-1]
    return np.rot90(upright, k=-degrees // 90)


def probed_times(path: Path) -> list[float]:
    """ffprobe's presentation time of every picture, the first at 0.

    Where it has none (the last pictures of an AVI) the pace so far goes on.
    """
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json", "-show_entries"]
    done = subprocess.run(
        [*command, "frame=best_effort_timestamp:stream=time_base", str(path)],
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    tick = Fraction(found["streams"][0]["time_base"])
    stamps: list[int] = []
    for frame in found["frames"]:
        following = 2 * stamps[-1] - stamps[-2] if len(stamps) > 1 else 0
        stamps.append(int(frame.get("best_effort_timestamp", following)))
    return [float((stamp - stamps[0]) * tick) for stamp in stamps]


def on_screen(times: Sequence[float], seconds: float) -> int:
    """The frame rule by its definition: the last picture that appears at or before a time."""
    return max((n for n, at in enumerate(times) if at <= seconds + 1e-6), default=0)
