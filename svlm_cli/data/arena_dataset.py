"""Training samples of the arena, made on the fly: everything that can be redrawn is redrawn each time.

Sample ``i`` depends on the seed and on ``i`` alone, so a resumed run sees what the undisturbed one would
have seen. Samples of one group (a micro-batch of each of two processes) are of one kind
and about one length, so that little is padded.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from torch.utils.data import Dataset

from svlm_cli.arena.moments import Kind
from svlm_cli.arena.setup import KITS, NUMBERS
from svlm_cli.data.arena_frames import MATCH_MINUTES, WINDOW_SECONDS, DrawnSecond, WindowStore
from svlm_cli.data.arena_play import (
    Beat,
    Cast,
    draw_cast,
    draw_score,
    draw_window,
    goals_of,
    play,
    tell,
    training_seed,
    with_cards,
    with_errors,
    with_random_sides,
)
from svlm_cli.data.arena_recall import draw_past, with_far_scores
from svlm_cli.data.sample import Features, FeatureStore, Sample, SampleWriter, Turn, stored_features
from svlm_cli.model.patches import Patches, PatchSettings, clip_to_patches
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut

QUERY = "Commentate on this match"
LATEST_SECOND = 6 * 3600
SLOW_FPS, FAST_FPS = 2, 8
FIRST_FAST_WINDOW = 100_000
SCENES_PER_SAMPLE = 12
SYMBOL_TURNS = (12, 24, 28)
COUNT_TURNS = (2, 2, 4, 6, 9, 15)
RANDOM_SIDES_SHARE = 0.6
SCORING_SHARE = 0.5
TOLD_GOALS_SHARE = 0.6
RECALL_SECONDS = ((60, 240), (300, 600), (600, 900))
RECALL_SINKS = (32, 64, 128, 256, 512)
RECALL_WINDOWS = (256, 384, 512, 512)
# Shares of the seconds that are kept where a row of events is to be dense, and where it is to be about goals.
_DENSE: Mapping[Kind | None, float] = {None: 0.1, Kind.PASS: 0.25, Kind.STEAL: 0.4}
_SCORING: Mapping[Kind | None, float] = {None: 0.01, Kind.PASS: 0.02, Kind.STEAL: 0.02, Kind.SAVE: 0.1}
_SCORED = (Kind.GOAL, Kind.GOAL, Kind.SCORE, Kind.KICK_OFF)
_VISIBLE = frozenset({Kind.PASS, Kind.STEAL, Kind.SAVE, Kind.KICK_OFF, Kind.SHOT, Kind.FOUL})


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each kind of sample is drawn; weights, not necessarily shares.

    Args:
        symbols: bare turns, words in place of frames.
        counts: the same, few turns and nearly all of them about goals, so that it shows which of the two
            teams of the opening text a goal counts for.
        bare: bare turns with frames at 2 a second, most silent seconds left out.
        chunks: whole chunks at 2 frames a second.
        fast: whole chunks at 8 frames a second.
        told: whole chunks, words in place of frames, with long earlier commentary.
        recall: like told, but the scores in the earlier commentary are trained on as well: a dozen in a
            sample, each as far from the one before as in a match. Now and then a wrong one is said, from
            which the match goes on: the last score said is what counts.
        far: the same, with scores far apart.
        scenes: bare single seconds of different matches, described: who has the ball, what happens, and
            where the ball is.
    """

    symbols: float = 0.0
    counts: float = 0.0
    bare: float = 0.0
    chunks: float = 0.0
    fast: float = 0.0
    told: float = 0.0
    recall: float = 0.0
    far: float = 0.0
    scenes: float = 0.0


class ArenaDataset(Dataset[Sample]):
    """Samples by number.

    Args:
        writer: of prompts, for the model's tokenizer.
        patches: how frames become patches.
        mix: kinds of samples.
        seed: of everything drawn.
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
        mix: Mix,
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
        self._num_plays = num_plays
        self._features = features
        self._plays: dict[int, tuple[Beat, ...]] = {}
        self._weights: Mapping[str, float] = asdict(mix)
        self._samplers = {fps: self._sample_writer(fps) for fps in (SLOW_FPS, 4, FAST_FPS)}

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Sample:
        shared = random.Random(f"{self._seed} group {index // self._group}")
        dice = random.Random(f"{self._seed} sample {index}")
        kind = shared.choices([*self._weights], [*self._weights.values()])[0]
        without_window: Mapping[str, Callable[[random.Random, random.Random], Sample]] = {
            "symbols": self._symbols,
            "counts": self._counts,
            "told": self._told,
            "recall": self._recall,
            "far": functools.partial(self._recall, far=True),
            "scenes": self._scenes,
        }
        if kind in without_window:
            return without_window[kind](shared, dice)
        fast = kind == "fast"
        fps = (4 if shared.random() < 0.25 else FAST_FPS) if fast else SLOW_FPS
        return self._chunk(shared, dice, fps, bare=kind == "bare")

    def _sample_writer(self, fps: int) -> SampleWriter:
        settings = self._patches
        stride = time_stride(fps, settings.temporal_patch_size, 2.0)
        return SampleWriter(self._writer, settings.merge_size, stride)

    def _symbols(self, shared: random.Random, dice: random.Random) -> Sample:
        """An opening and a row of events with few silent seconds between them; passes thinned."""
        beats = self._beats(dice)
        start = dice.randrange(len(beats) - 200)
        thinned = _SCORING if dice.random() < SCORING_SHARE else _DENSE
        kept = (beat for beat in beats[start:] if dice.random() < thinned.get(beat.kind, 1.0))
        chosen = list(islice(kept, shared.choice(SYMBOL_TURNS)))
        chosen = with_cards(chosen, dice)
        if dice.random() < RANDOM_SIDES_SHARE:
            chosen = with_random_sides(chosen, dice)
        return self._bare_row(chosen, dice)

    def _counts(self, shared: random.Random, dice: random.Random) -> Sample:
        """An opening and a row of goals, each behind its shot, with few other events."""
        beats = self._beats(dice)
        kept = goals_of(beats[dice.randrange(len(beats) // 2) :], dice)
        chosen = list(islice(kept, shared.choice(COUNT_TURNS)))
        return self._bare_row(with_random_sides(chosen, dice), dice)

    def _bare_row(self, chosen: Sequence[Beat], dice: random.Random) -> Sample:
        cast = draw_cast(_two_kits(dice), dice)
        score = draw_score(chosen, dice)
        lines, _ = tell(chosen, cast, score)
        turns = _told_turns(chosen, lines, cast)
        return self._samplers[SLOW_FPS].write(cast.opening(score), turns, bare=True)

    def _told(self, shared: random.Random, dice: random.Random) -> Sample:
        """A whole chunk behind commentary of any length, in words alone."""
        beats = self._beats(dice)
        wanted = Kind.GOAL if dice.random() < TOLD_GOALS_SHARE else None
        start = max(draw_window(beats, WINDOW_SECONDS, dice, wanted), WINDOW_SECONDS)
        cast = draw_cast(_two_kits(dice), dice)
        longest = shared.choice((60, 120, 240, 480, 900))
        text, limits, score = self._previous(beats[:start], cast, longest, dice)
        chosen = beats[start : start + WINDOW_SECONDS]
        lines, _ = tell(chosen, cast, score)
        turns = _told_turns(chosen, lines, cast, _draw_clock(start, dice))
        kept = middle_cut(len(self._writer.encode(text)), limits)
        return self._samplers[SLOW_FPS].write(text, turns, kept=kept, query=_draw_query(dice))

    def _recall(self, shared: random.Random, dice: random.Random, *, far: bool = False) -> Sample:
        """A whole chunk behind commentary whose scores are trained on, in words alone."""
        beats = self._beats(dice)
        start = max(draw_window(beats, WINDOW_SECONDS, dice, dice.choice(_SCORED)), WINDOW_SECONDS)
        cast = draw_cast(_two_kits(dice), dice)
        seconds = min(start, dice.randint(*shared.choice(RECALL_SECONDS)))
        past = beats[start - seconds : start]
        limits = WindowLimits(dice.choice(RECALL_SINKS), dice.choice(RECALL_WINDOWS), 16, 16)
        told = draw_past(with_far_scores(past, dice) if far else past, cast, limits, dice)
        if not told.reaches_back:
            told = draw_past(past, cast, limits, dice)
        chosen = beats[start : start + WINDOW_SECONDS]
        turns = _told_turns(chosen, tell(chosen, cast, told.score)[0], cast, _draw_clock(start, dice))
        return self._samplers[SLOW_FPS].write(
            told.text, turns, kept=told.kept, query=_draw_query(dice), trained=told.trained
        )

    def _chunk(self, shared: random.Random, dice: random.Random, fps: int, *, bare: bool) -> Sample:
        """A window with its frames, told by a fresh cast."""
        number = self._number(dice, fast=fps != SLOW_FPS)
        window = self._store.window(number)
        cast = draw_cast(window.kits, dice)
        longest = shared.choice((0, 20, 40, 40, 90, 90, 180, 900)) if not bare else dice.choice((0, 20))
        text, limits, score = self._previous(window.history, cast, longest, dice)
        lines, _ = tell(window.beats, cast, score)
        first = _draw_clock(len(window.history), dice)
        seen = [k for k, line in enumerate(lines) if not bare or line or dice.random() < 0.35]
        frames = self._frames(number, fps)
        turns = [Turn(float(first + k), float(first + k + 1), lines[k], frames[k]) for k in seen]
        kept = middle_cut(len(self._writer.encode(text)), limits)
        query = "" if bare else _draw_query(dice)
        return self._samplers[fps].write(text, turns, kept=kept, query=query, bare=bare)

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

    def _previous(
        self, history: tuple[Beat, ...], cast: Cast, longest: int, dice: random.Random
    ) -> tuple[str, WindowLimits, tuple[int, int]]:
        """What a chunk is told, how much of it is kept, and the score after it.

        The stream may have begun at any second of the match; now and then something said earlier was
        wrong, but never the last score.
        """
        seconds = min(len(history), dice.randint(longest // 2, longest))
        past = history[len(history) - seconds :]
        score = draw_score(past, dice)
        lines, end = tell(past, cast, score)
        said = [line for line in lines if line]
        if dice.random() < 0.25:
            said = with_errors(said, cast, dice)
        text = " ".join([cast.opening(score), *said])
        limits = WindowLimits(512, 512, 16, 16)
        if dice.random() < 0.3:
            limits = WindowLimits(dice.choice((16, 32, 64)), dice.choice((16, 32, 64)), 16, 16)
        return text, limits, end

    def _number(self, dice: random.Random, *, fast: bool) -> int:
        """Of a window at 8 or at 2 frames a second."""
        if fast:
            return FIRST_FAST_WINDOW + dice.randrange(max(1, self._num_windows // 4))
        return dice.randrange(self._num_windows)

    def _beats(self, dice: random.Random) -> tuple[Beat, ...]:
        number = dice.randrange(self._num_plays)
        if number not in self._plays:
            self._plays[number] = play(training_seed(500_000 + number), MATCH_MINUTES)
        return self._plays[number]

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


def _told_turns(
    beats: Sequence[Beat], lines: Sequence[str], cast: Cast, first_second: int | None = None
) -> list[Turn]:
    """Turns with words in place of frames, from a second on or (bare ones, which show no time) in none."""
    starts = (
        [0.0] * len(beats) if first_second is None else [float(first_second + k) for k in range(len(beats))]
    )
    return [
        Turn(start, start + 1.0, line, symbols=symbols_of(beat, cast.kits))
        for start, beat, line in zip(starts, beats, lines, strict=True)
    ]


def symbols_of(beat: Beat, kits: tuple[str, str]) -> tuple[str, str]:
    """Two words that say what the frames of a second show: what happens, and in whose colour."""
    if beat.kind is None:
        return " ...", " ..." if beat.holder is None else f" {kits[beat.holder]}"
    shown = beat.side if beat.kind in _VISIBLE else None
    word = "off" if beat.kind is Kind.KICK_OFF else beat.kind.value.split("_")[0]
    return f" {word}", " ..." if shown is None else f" {kits[shown]}"


def scene_line(shown: DrawnSecond) -> str:
    """Five words on one second: colour in possession, what happens, whose, and the ball's column and row."""
    holder = shown.sight.holder
    possession = "..." if holder is None else shown.kits[holder]
    happens, whose = symbols_of(replace(shown.beat, holder=holder), shown.kits)
    return f"{possession}{happens}{whose} {NUMBERS[shown.sight.column]} {NUMBERS[shown.sight.row]}"


def _two_kits(dice: random.Random) -> tuple[str, str]:
    first, second = dice.sample(KITS, 2)
    return first, second


def _draw_clock(start: int, dice: random.Random) -> int:
    """What the clock of the stream shows at the chunk's first second."""
    return start if dice.random() < 0.4 else dice.randrange(LATEST_SECOND)


def _draw_query(dice: random.Random) -> str:
    """Streaming shows the query in the first turn only, so later turns are trained without it too."""
    return QUERY if dice.random() < 0.4 else ""
