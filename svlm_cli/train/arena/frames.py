"""Drawn windows of training matches, kept on disk so that each is drawn once.

A window at 8 frames a second holds those of 2 and 4, so it serves all three rates. The seconds of a
window are compressed apart from each other: reading one of them costs one.
"""

from __future__ import annotations

import json
import random
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.plane import WORLD_HEIGHT, WORLD_WIDTH
from svlm_cli.arena.render import Renderer
from svlm_cli.arena.setup import draw_setup, team_of
from svlm_cli.arena.timeline import Scene, Timeline
from svlm_cli.documents import read_json
from svlm_cli.files import whole_file
from svlm_cli.train.arena.play import Beat, draw_window, play, training_seed

WINDOW_SECONDS = 24
MATCH_MINUTES = 15.0
WIDTH, HEIGHT = 168, 112
NUM_COLUMNS, NUM_ROWS = 6, 4
_NOBODY = -1
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class FrameSight:
    """What the last frame of a second shows.

    Args:
        holder: the side that has the ball, or None.
        column, row: the column and row of the field the ball lies in, of 6 x 4 over the whole picture.
    """

    holder: int | None
    column: int
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSecond:
    """One second of a match.

    Args:
        kits: the kits of the two sides.
        beat: what happens.
        sight: what is to be seen at its end.
        frames: uint8, shape (fps, height, width, 3).
    """

    kits: tuple[str, str]
    beat: Beat
    sight: FrameSight
    frames: np.ndarray


@dataclass(frozen=True, slots=True)
class DrawnWindow:
    """A window of a match.

    Args:
        kits: the kits of the two sides.
        history: the seconds of the match before the window.
        beats: the seconds of the window.
    """

    kits: tuple[str, str]
    history: tuple[Beat, ...]
    beats: tuple[Beat, ...]


class WindowStore:
    """Windows by number, drawn when first asked for, and again where what is kept of them is damaged.

    Args:
        folder: the folder of the drawn frames; made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, tuple[Beat, ...]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def window(self, number: int) -> DrawnWindow:
        """Window ``number``."""
        beats = self._beats(number)
        kits = draw_setup("soccer", training_seed(number)).kits
        return DrawnWindow(kits, beats[:-WINDOW_SECONDS], beats[-WINDOW_SECONDS:])

    def frames(self, number: int, fps: int) -> np.ndarray:
        """Its pictures: uint8, shape (seconds, fps, height, width, 3)."""
        return np.stack(self._read(number, fps, [_key(second) for second in range(WINDOW_SECONDS)]))

    def second(self, number: int, fps: int, second: int) -> DrawnSecond:
        """One second of a window."""
        sights, frames = self._read(number, fps, [_SIGHTS, _key(second)])
        window = self.window(number)
        return DrawnSecond(window.kits, window.beats[second], _frame_sight(sights[second]), frames)

    def sights(self, number: int, fps: int) -> list[FrameSight]:
        """What the last frame of each second of a window shows."""
        (sights,) = self._read(number, fps, [_SIGHTS])
        return [_frame_sight(row) for row in sights]

    def _beats(self, number: int) -> tuple[Beat, ...]:
        """The seconds of the match up to the end of the window."""
        if number not in self._known:
            self._known[number] = self._read_beats(number)
        return self._known[number]

    def _read_beats(self, number: int) -> tuple[Beat, ...]:
        path = self._folder / f"{number:06d}.json"
        with suppress(OSError, ValueError, TypeError):  # not there or damaged: drawn again
            return tuple(_beat(*fields) for fields in read_json(path))
        beats = play(training_seed(number), MATCH_MINUTES)
        start = draw_window(beats, WINDOW_SECONDS, random.Random(f"window {number}"))
        beats = beats[: start + WINDOW_SECONDS]
        with whole_file(path) as partial:
            partial.write_text(json.dumps([astuple(beat) for beat in beats]), encoding="utf-8")
        return beats

    def _read(self, number: int, fps: int, names: Sequence[str]) -> list[np.ndarray]:
        path = self._folder / f"{number:06d}-{fps}.npz"
        if path.is_file():
            with suppress(*_DAMAGE):
                return _arrays(path, names)
        address = ArenaAddress(seed=training_seed(number))
        start = len(self._beats(number)) - WINDOW_SECONDS
        with whole_file(path) as partial:
            np.savez_compressed(partial, allow_pickle=False, **_draw_seconds(address, start, fps))
        return _arrays(path, names)


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    with path.open("rb") as file, np.load(file) as stored:
        return [stored[name] for name in names]


def draw_frames(address: ArenaAddress, start: int, seconds: int, fps: int) -> np.ndarray:
    """Frames of a match at the model's size: uint8, shape (seconds * fps, HEIGHT, WIDTH, 3)."""
    setup = draw_setup(address.sport, address.seed)
    renderer = Renderer(setup, WIDTH, HEIGHT)
    return np.stack([renderer.draw(scene) for scene in _scenes(address, start, seconds, fps)])


_SIGHTS = "sights"


def _frame_sight(row: np.ndarray) -> FrameSight:
    holder, column, line = row.tolist()
    return FrameSight(None if holder == _NOBODY else holder, column, line)


def _key(second: int) -> str:
    return f"second{second:02d}"


def _draw_seconds(address: ArenaAddress, start: int, fps: int) -> dict[str, np.ndarray]:
    frames = draw_frames(address, start, WINDOW_SECONDS, fps)
    scenes = list(_scenes(address, start, WINDOW_SECONDS, fps))
    arrays = {_key(k): frames[k * fps : (k + 1) * fps] for k in range(WINDOW_SECONDS)}
    return {**arrays, _SIGHTS: np.array([_sight(scene) for scene in scenes[fps - 1 :: fps]], np.int8)}


def _scenes(address: ArenaAddress, start: int, seconds: int, fps: int) -> Iterator[Scene]:
    timeline = Timeline(draw_setup(address.sport, address.seed))
    return (timeline.scene(start + k / fps) for k in range(seconds * fps))


def _sight(scene: Scene) -> tuple[int, int, int]:
    x, y = scene.ball[0] / WORLD_WIDTH + 0.5, scene.ball[1] / WORLD_HEIGHT + 0.5
    column = min(max(int(x * NUM_COLUMNS), 0), NUM_COLUMNS - 1)
    row = min(max(int(y * NUM_ROWS), 0), NUM_ROWS - 1)
    return _NOBODY if scene.holder is None else team_of(scene.holder), column, row


@cache
def _beat(kind: str | None, side: int | None, holder: int | None) -> Beat:
    return Beat(None if kind is None else Kind(kind), side, holder)
