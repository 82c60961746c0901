"""Small harmless media files, and damage to them that a number decides."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np

SIZE, FPS, SECONDS, RATE = (64, 48), 12, 3, 48_000
# Of pictures and of sound, None for none.
KINDS: Mapping[str, tuple[str | None, str | None, Mapping[str, str]]] = {
    "plain.mp4": ("libx264", "aac", {}),
    "fast.mp4": ("libx264", None, {"movflags": "faststart"}),
    "parts.mp4": ("libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "plain.mkv": ("libx264", "flac", {}),
    "plain.ts": ("mpeg2video", "mp2", {}),
    "h264.ts": ("libx264", "aac", {}),
    "plain.avi": ("mpeg4", "libmp3lame", {}),
    "plain.webm": ("libvpx", "libopus", {}),
    "plain.mov": ("mpeg4", "pcm_s16le", {}),
    "plain.flv": ("flv1", None, {}),
    "plain.flac": (None, "flac", {}),
    "plain.wav": (None, "pcm_s16le", {}),
}
BLOCK = 4096
ABSURD = (
    b"\xff" * 4,
    b"\x7f" + b"\xff" * 3,
    b"\x00" * 4,
    b"\x00\x00\x00\x01",
    b"\xff" * 8,
    b"\x80" + b"\x00" * 7,
)


def make_seeds(folder: Path) -> list[Path]:
    """One file of each kind, of some seconds."""
    return [_write(folder / name, *kind) for name, kind in KINDS.items()]


def damaged(data: bytes, other: bytes, dice: Random) -> bytes:
    """``data`` after one to four accidents; ``other`` is a file that it may be mixed with."""
    for _ in range(dice.randint(1, 4)):
        data = dice.choice((_flip, _flip, _claim, _cut, _blank, _repeat, _swap, _noise, _splice))(
            data, other, dice
        )
    return data


def _write(path: Path, pictures: str | None, sound: str | None, options: Mapping[str, str]) -> Path:
    with av.open(str(path), "w", options=dict(options)) as container:
        video = None if pictures is None else container.add_stream(pictures, rate=FPS, options={"g": "6"})
        audio = None if sound is None else container.add_stream(sound, rate=RATE, layout="mono")
        if video is not None:
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        for second in range(SECONDS):
            if video is not None:
                for number in range(second * FPS, (second + 1) * FPS):
                    container.mux(video.encode(_picture(number)))
            if audio is not None:
                container.mux(audio.encode(_tone(second)))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def _picture(number: int) -> av.VideoFrame:
    width, height = SIZE
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 4, columns * 3, (rows + columns + 9 * number) * 2], axis=-1).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def _tone(second: int) -> av.AudioFrame:
    wave = (8000 * np.sin(np.arange(second * RATE, (second + 1) * RATE) * 0.05)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, second * RATE, Fraction(1, RATE)
    return frame


def _place(data: bytes, dice: Random) -> int:
    """Often in a header, at the beginning or the end."""
    reach = dice.choice((64, 600, BLOCK, len(data)))
    place = dice.randrange(max(1, min(reach, len(data))))
    return max(0, len(data) - 1 - place) if dice.random() < 0.25 else place


def _stretch(data: bytes, dice: Random) -> tuple[int, int]:
    start = _place(data, dice)
    return start, start + dice.choice((1, 16, 188, BLOCK))


def _flip(data: bytes, _other: bytes, dice: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 4, 32)) if data else 0):
        changed[_place(data, dice)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _claim(data: bytes, _other: bytes, dice: Random) -> bytes:
    """A number becomes absurd."""
    place, number = _place(data, dice), dice.choice(ABSURD)
    return data[:place] + number + data[place + len(number) :]


def _cut(data: bytes, _other: bytes, dice: Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)] if dice.random() < 0.5 else data[_place(data, dice) :]


def _blank(data: bytes, _other: bytes, dice: Random) -> bytes:
    start, end = _stretch(data, dice)
    return data[:start] + bytes(len(data[start:end])) + data[end:]


def _repeat(data: bytes, _other: bytes, dice: Random) -> bytes:
    start, end = _stretch(data, dice)
    return data[:end] + data[start:end] * dice.randint(1, 20) + data[end:]


def _swap(data: bytes, _other: bytes, dice: Random) -> bytes:
    a, b = sorted((_place(data, dice), _place(data, dice)))
    size = min(b - a, dice.choice((16, 188, BLOCK)))
    return data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]


def _noise(data: bytes, _other: bytes, dice: Random) -> bytes:
    start, end = _stretch(data, dice)
    return data[:start] + dice.randbytes(end - start) + data[end if dice.random() < 0.5 else start :]


def _splice(data: bytes, other: bytes, dice: Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other)) :]
