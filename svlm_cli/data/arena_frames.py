"""Drawn windows of training matches, kept on disk so that each is drawn once.

A window at 8 frames a second holds those of 2 and 4, so it serves all three rates.
"""

from __future__ import annotations

import json
import random
import secrets
import zlib
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.render import Renderer
from svlm_cli.arena.setup import draw_setup
from svlm_cli.arena.timeline import Timeline
from svlm_cli.data.arena_play import Beat, draw_window, play, training_seed

WINDOW_SECONDS = 24
MATCH_MINUTES = 15.0
WIDTH, HEIGHT = 168, 112


@dataclass(frozen=True, slots=True, eq=False)
class DrawnWindow:
    """A window of a match.

    Args:
        kits: of the two sides.
        history: the seconds of the match before the window.
        beats: the seconds of the window.
        frames: uint8, shape (seconds * fps, height, width, 3).
        fps: frames per second of ``frames``.
    """

    kits: tuple[str, str]
    history: tuple[Beat, ...]
    beats: tuple[Beat, ...]
    frames: np.ndarray
    fps: int


class WindowStore:
    """Windows by number, drawn when first asked for.

    Args:
        folder: for the drawn frames; made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def window(self, number: int, fps: int) -> DrawnWindow:
        """Window ``number`` at ``fps`` frames a second."""
        seed = training_seed(number)
        beats = self._beats(number, seed)
        start = len(beats) - WINDOW_SECONDS
        return DrawnWindow(
            kits=draw_setup("soccer", seed).kits,
            history=beats[:start],
            beats=beats[start : start + WINDOW_SECONDS],
            frames=self._frames(number, seed, start, fps),
            fps=fps,
        )

    def _beats(self, number: int, seed: int) -> tuple[Beat, ...]:
        """The seconds of the match up to the end of the window."""
        path = self._folder / f"{number:06d}.json"
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            return tuple(Beat(kind and Kind(kind), side, holder) for kind, side, holder in stored)
        beats = play(seed, MATCH_MINUTES)
        start = draw_window(beats, WINDOW_SECONDS, random.Random(f"window {number}"))
        beats = beats[: start + WINDOW_SECONDS]
        _write(path, json.dumps([astuple(beat) for beat in beats]).encode())
        return beats

    def _frames(self, number: int, seed: int, start: int, fps: int) -> np.ndarray:
        path = self._folder / f"{number:06d}-{fps}.z"
        shape = (WINDOW_SECONDS * fps, HEIGHT, WIDTH, 3)
        if path.is_file():
            return np.frombuffer(zlib.decompress(path.read_bytes()), dtype=np.uint8).reshape(shape)
        frames = draw_frames(ArenaAddress(seed=seed), start, WINDOW_SECONDS, fps)
        _write(path, zlib.compress(frames.tobytes(), 1))
        return frames


def _write(path: Path, content: bytes) -> None:
    """All of the file or nothing, whoever else writes it."""
    partial = path.with_suffix(f".{secrets.token_hex(4)}")
    partial.write_bytes(content)
    partial.replace(path)


def draw_frames(address: ArenaAddress, start: int, seconds: int, fps: int) -> np.ndarray:
    """Frames of a match at the model's size: uint8, shape (seconds * fps, HEIGHT, WIDTH, 3)."""
    setup = draw_setup(address.sport, address.seed)
    renderer, timeline = Renderer(setup, WIDTH, HEIGHT), Timeline(setup)
    times = (start + k / fps for k in range(seconds * fps))
    return np.stack([renderer.draw(timeline.scene(time)) for time in times])
