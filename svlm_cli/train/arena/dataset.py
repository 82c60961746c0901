"""Training samples of the arena, made on the fly: everything that can be redrawn is redrawn each time.

Sample ``i`` depends on the seed and on ``i`` alone, so a resumed run sees what the undisturbed one would
have seen. Samples of one group (a micro-batch of each of two processes) are of one kind
and about one length, so that little is padded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch.utils.data import Dataset

from svlm_cli.arena.setup import NUMBERS
from svlm_cli.data.samples.sample import Features, FeatureStore, Sample, SampleWriter, Turn, stored_features
from svlm_cli.model.patches import Patches, PatchSettings, clip_to_patches
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut
from svlm_cli.sections import ArenaMix
from svlm_cli.train.arena.asking import LOOKED_AT, SHOWN, draw_asked_past, with_questions
from svlm_cli.train.arena.frames import WINDOW_SECONDS, DrawnSecond, WindowStore
from svlm_cli.train.arena.play import Beat, draw_cast, tell
from svlm_cli.train.arena.recall import with_far_scores, with_hole
from svlm_cli.train.arena.telling import (
    draw_asked_limits,
    draw_clock,
    draw_previous,
    draw_query,
    symbols_of,
)
from svlm_cli.train.arena.text import ASKED_SECONDS, LATE_SECONDS, TextSamples

SLOW_FPS, FAST_FPS = 2, 8
FIRST_FAST_WINDOW = 100_000
SCENES_PER_SAMPLE = 12
LATE_FAST_SHARE = 0.35
LOOKED_AT_SECONDS = ((0, 20),)
# Chunks late in a match, and how the scores before them come to lie apart.
_LATE_CHUNKS: Mapping[str, Callable[[Sequence[Beat], random.Random], Sequence[Beat]]] = {
    "late_chunks": lambda beats, _: beats,
    "far_chunks": with_far_scores,
    "deep_chunks": lambda beats, dice: with_hole(beats, len(beats), dice),
}


class ArenaDataset(Dataset[Sample]):
    """Samples by number.

    Args:
        writer: what writes prompts, for the model's tokenizer.
        patches: how frames become patches.
        mix: kinds of samples.
        seed: the seed of everything that is drawn.
        num_samples: length.
        group: samples of a micro-batch.
        windows: folder of drawn windows.
        num_windows: how many different windows at 2 frames a second, and a quarter of it at 8.
        num_plays: how many different matches text is told from.
        features: keeps what the vision tower makes of each second; None to train the tower itself.
    """

    def __init__(
        self,
        writer: PromptWriter,
        patches: PatchSettings,
        mix: ArenaMix,
        *,
        seed: int,
        num_samples: int,
        group: int,
        windows: Path,
        num_windows: int,
        num_plays: int,
        features: FeatureStore | None = None,
    ) -> None:
        self._writer = writer
        self._patches = patches
        self._seed = seed
        self._num_samples = num_samples
        self._group = group
        self._store = WindowStore(windows)
        self._num_windows = num_windows
        self._features = features
        self._weights: Mapping[str, float] = mix.model_dump()
        self._samplers = {fps: self._sample_writer(fps) for fps in (SLOW_FPS, 4, FAST_FPS)}
        self._text = TextSamples(writer, self._samplers[SLOW_FPS], num_plays)

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Sample:
        shared = random.Random(f"{self._seed} group {index // self._group}")
        dice = random.Random(f"{self._seed} sample {index}")
        kind = shared.choices([*self._weights], [*self._weights.values()])[0]
        if kind in self._text.makers:
            return self._text.makers[kind](shared, dice)
        if kind == "scenes":
            return self._scenes(shared, dice)
        if kind in ("asked_chunks", "looks"):
            return self._asked_chunk(shared, dice, looks=kind == "looks")
        late = kind in _LATE_CHUNKS
        fast = shared.random() < LATE_FAST_SHARE if late else kind == "fast"
        fps = (4 if shared.random() < 0.25 else FAST_FPS) if fast else SLOW_FPS
        return self._chunk(shared, dice, fps, kind)

    def _sample_writer(self, fps: int) -> SampleWriter:
        settings = self._patches
        stride = time_stride(fps, settings.temporal_patch_size, 2.0)
        return SampleWriter(self._writer, settings.merge_size, stride)

    def _chunk(self, shared: random.Random, dice: random.Random, fps: int, kind: str) -> Sample:
        """A window with its frames, told by a fresh cast."""
        bare, late = kind == "bare", kind in _LATE_CHUNKS
        number = self._number(dice, fast=fps != SLOW_FPS)
        window = self._store.window(number)
        cast = draw_cast(window.kits, dice)
        longest = shared.choice((0, 20, 40, 40, 90, 90, 180, 900)) if not bare else dice.choice((0, 20))
        history = window.history
        if late:  # another match went before this one: what happened is told by sides, so it fits any two
            earlier = self._text.late_beats(dice)
            history, longest = (*earlier[dice.randrange(len(earlier)) :], *history), LATE_SECONDS[1]
            history = tuple(_LATE_CHUNKS[kind](history, dice))
        text, limits, score = draw_previous(history, cast, longest, dice)
        lines, _ = tell(window.beats, cast, score)
        first = draw_clock(len(history), dice)
        seen = [k for k, line in enumerate(lines) if not bare or line or dice.random() < 0.35]
        frames = self._frames(number, fps)
        turns = [Turn(float(first + k), float(first + k + 1), lines[k], frames[k]) for k in seen]
        kept = middle_cut(len(self._writer.encode(text)), limits)
        query = "" if bare else draw_query(dice)
        return self._samplers[fps].write(text, turns, kept=kept, query=query, bare=bare)

    def _asked_chunk(self, shared: random.Random, dice: random.Random, *, looks: bool) -> Sample:
        """A window with its frames and questions, told by a fresh cast; ``looks``: bare, and about frames."""
        fast = shared.random() < LATE_FAST_SHARE
        fps = FAST_FPS if fast else SLOW_FPS
        number = self._number(dice, fast=fast)
        window = self._store.window(number)
        cast = draw_cast(window.kits, dice)
        spans = LOOKED_AT_SECONDS if looks else ASKED_SECONDS
        seconds = min(len(window.history), dice.randint(*shared.choice(spans)))
        before = window.history[len(window.history) - seconds :]
        limits = WindowLimits(512, 512, 16, 16) if looks else draw_asked_limits(dice)
        past = draw_asked_past(before, cast, limits, dice)
        lines, _ = tell(window.beats, cast, past.score)
        first = draw_clock(len(window.history), dice)
        frames = self._frames(number, fps)
        turns = [
            Turn(float(first + k), float(first + k + 1), line, frames[k]) for k, line in enumerate(lines)
        ]
        sights = self._store.sights(number, fps)
        asking = LOOKED_AT if looks else SHOWN
        asked = with_questions(turns, window.beats, past, cast, dice, asking, sights)
        query = "" if looks else draw_query(dice)
        return self._samplers[fps].write(past.text, asked, kept=past.kept, query=query, bare=looks)

    def _scenes(self, shared: random.Random, dice: random.Random) -> Sample:
        """Seconds that have nothing to do with each other."""
        fast = shared.random() < 0.25
        turns = []
        for _ in range(SCENES_PER_SAMPLE):
            number = self._number(dice, fast=fast)
            seconds: Sequence[int] = range(WINDOW_SECONDS)
            if dice.random() < 0.65:
                beats = self._store.window(number).beats
                seconds = [k for k in seconds if beats[k].kind is not None] or seconds
            shown = self._store.second(number, FAST_FPS if fast else SLOW_FPS, dice.choice(seconds))
            patches = clip_to_patches(shown.frames, self._patches)
            turns.append(Turn(0.0, 1.0, scene_line(shown), patches))
        return self._samplers[FAST_FPS if fast else SLOW_FPS].write("", turns, bare=True)

    def _number(self, dice: random.Random, *, fast: bool) -> int:
        """Of a window at 8 or at 2 frames a second."""
        if fast:
            return FIRST_FAST_WINDOW + dice.randrange(max(1, self._num_windows // 4))
        return dice.randrange(self._num_windows)

    def _frames(self, number: int, fps: int) -> Sequence[Patches | Features]:
        """The seconds of a window as the model takes them."""

        def cut(first: int, last: int) -> list[Patches]:
            drawn = FAST_FPS if fps != SLOW_FPS else SLOW_FPS
            seconds = self._store.frames(number, drawn)[first:last, :: drawn // fps]
            return [clip_to_patches(frames, self._patches) for frames in seconds]

        if self._features is None:
            return cut(0, WINDOW_SECONDS)
        keys = [f"{number:06d}-{fps}-{second}" for second in range(WINDOW_SECONDS)]
        return stored_features(self._features, keys, cut)


def scene_line(shown: DrawnSecond) -> str:
    """Five words on one second: colour in possession, what happens, whose, and the ball's column and row."""
    holder = shown.sight.holder
    possession = "..." if holder is None else shown.kits[holder]
    happens, whose = symbols_of(replace(shown.beat, holder=holder), shown.kits)
    return f"{possession}{happens}{whose} {NUMBERS[shown.sight.column]} {NUMBERS[shown.sight.row]}"
