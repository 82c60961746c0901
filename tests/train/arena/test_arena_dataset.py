from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.asking.wording import QUESTIONS, THIRDS, Ask
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.plane import WORLD_WIDTH
from svlm_cli.arena.setup import NUMBERS, draw_setup, team_of
from svlm_cli.arena.source import ArenaSource
from svlm_cli.arena.timeline import Timeline
from svlm_cli.arena.truth import truth
from svlm_cli.data.samples.sample import SampleWriter
from svlm_cli.train.arena.dataset import ArenaDataset, scene_line
from svlm_cli.train.arena.frames import WINDOW_SECONDS, WindowStore, draw_frames
from svlm_cli.train.arena.play import (
    FIRST_TRAINING_SEED,
    Beat,
    Cast,
    draw_window,
    goals_of,
    play,
    tell,
    training_seed,
    with_random_sides,
)
from svlm_cli.train.arena.telling import symbols_of
from tests.train.small import dataset


def test_the_true_cast_tells_the_true_lines() -> None:
    setup = draw_setup("soccer", 11)
    cast = Cast(setup.names, setup.kits, setup.referee)
    lines, score = tell(play(11, 20.0), cast, setup.opening_score)
    records = list(truth(ArenaAddress(seed=11, minutes=20.0)))
    assert lines == [record.line for record in records]
    assert score == records[-1].score
    assert cast.opening(setup.opening_score) == setup.opening_text


def test_a_new_game_begins_after_the_tenth_goal() -> None:
    cast = Cast(("Lions", "Sharks"), ("red", "blue"), "Moreno")
    beats = [Beat(Kind.GOAL, 0, None), Beat(Kind.KICK_OFF, 1, 1), Beat(Kind.SCORE, 0, None)]
    lines, score = tell(beats, cast, (9, 3))
    assert lines == ["goal for red Lions ten three", "kick off by blue Sharks nil nil", "score nil nil"]
    assert score == (0, 0)


def test_training_seeds_are_not_those_of_evaluation() -> None:
    assert training_seed(0) >= FIRST_TRAINING_SEED > 10_000


def test_frames_are_those_of_the_source() -> None:
    source = ArenaSource("arena:soccer?seed=5&size=168x112")
    clips = list(source.clips(8.0, 1.0, 30.0, 2.0))
    drawn = draw_frames(ArenaAddress(seed=5), 30, 2, 8)
    np.testing.assert_array_equal(np.concatenate([clip.frames for clip in clips]), drawn)


def test_rare_kinds_are_favoured() -> None:
    beats = play(3, 15.0)
    dice = random.Random(0)
    starts = [draw_window(beats, 24, dice) for _ in range(200)]
    with_goal = sum(any(beat.kind is Kind.GOAL for beat in beats[start : start + 24]) for start in starts)
    assert with_goal > 50


def test_random_sides_keep_goals_and_free_kicks_true() -> None:
    beats = with_random_sides(play(3, 30.0), random.Random(0))
    assert [beat.kind for beat in beats] == [beat.kind for beat in play(3, 30.0)]
    shooter = fouled = None
    sides = []
    for beat in beats:
        shooter = beat.side if beat.kind is Kind.SHOT else shooter
        fouled = beat.side if beat.kind is Kind.FOUL else fouled
        sides += [beat.side] if beat.kind is Kind.PASS else []
        assert beat.kind is not Kind.GOAL or beat.side == shooter
        assert beat.kind is not Kind.FREE_KICK or beat.side == fouled
    changes = sum(a != b for a, b in itertools.pairwise(sides)) / len(sides)
    assert 0.45 < changes < 0.55


def test_rows_of_goals_count_them_all() -> None:
    """Each goal behind a shot of its side; told, the score is never past ten."""
    dice = random.Random(0)
    for seed in range(4):
        beats = with_random_sides(list(goals_of(play(seed, 60.0), dice)), dice)
        places = [k for k, beat in enumerate(beats) if beat.kind is Kind.GOAL]
        assert len(places) == sum(beat.kind is Kind.GOAL for beat in play(seed, 60.0))
        assert all(beats[k - 1].kind is Kind.SHOT and beats[k - 1].side == beats[k].side for k in places)
        told, _ = tell(beats, Cast(("Lions", "Sharks"), ("red", "blue"), "Moreno"), (0, 0))
        count = [0, 0]
        for beat, line in zip(beats, told, strict=True):
            if beat.kind is Kind.GOAL:
                count[beat.side] += 1
                assert line.split()[-2:] == [NUMBERS[count[0]], NUMBERS[count[1]]]
            if line.endswith("nil nil") and beat.kind is Kind.KICK_OFF:
                assert 10 in count
                count = [0, 0]


def test_a_window_holds_the_kind_that_is_wanted() -> None:
    beats = play(3, 15.0)
    for seed in range(20):
        start = draw_window(beats, 24, random.Random(seed), Kind.GOAL)
        assert any(beat.kind is Kind.GOAL for beat in beats[start : start + 24])


def test_symbols_tell_only_what_is_seen() -> None:
    kits = ("red", "blue")
    assert symbols_of(Beat(Kind.FREE_KICK, 0, None), kits) == (" free", " ...")
    assert symbols_of(Beat(Kind.GOAL, 0, None), kits) == (" goal", " ...")
    assert symbols_of(Beat(Kind.FOUL, 1, None), kits) == (" foul", " blue")
    assert symbols_of(Beat(None, None, 1), kits) == (" ...", " blue")


@pytest.mark.parametrize(
    "kind",
    [
        "symbols",
        "counts",
        "told",
        "recall",
        "far",
        "late",
        "games",
        "deep",
        "asked_deep",
        "asked_rows",
        "long_rows",
        "asked_chunks",
        "far_chunks",
        "deep_chunks",
        "looks",
        "claims",
    ],
)
def test_a_sample_is_its_number(tmp_path: Path, kind: str) -> None:
    first, second = dataset(tmp_path, kind)[1], dataset(tmp_path, kind)[1]
    np.testing.assert_array_equal(first.input_ids, second.input_ids)
    assert not np.array_equal(dataset(tmp_path, kind)[2].input_ids, first.input_ids)


def test_scenes_are_described_as_they_are_seen(tmp_path: Path) -> None:
    """Against the scene at the time of the second's last frame."""
    store = WindowStore(tmp_path)
    window = store.window(1)
    setup = draw_setup("soccer", training_seed(1))
    timeline = Timeline(setup)
    for second in range(WINDOW_SECONDS):
        shown = store.second(1, 8, second)
        scene = timeline.scene(len(window.history) + second + 7 / 8)
        possession, _, _, column, row = scene_line(shown).split()
        assert possession == ("..." if scene.holder is None else setup.kits[team_of(scene.holder)])
        left, top = (NUMBERS.index(column) - 3) * 10, (NUMBERS.index(row) - 2) * 10
        assert left <= scene.ball[0] <= left + 10
        assert top <= scene.ball[1] <= top + 10
        np.testing.assert_array_equal(shown.frames, store.frames(1, 8)[second])


@pytest.mark.parametrize("kind", ["looks", "asked_chunks"])
def test_what_is_asked_of_frames_is_what_the_scene_shows(kind: str, tmp_path: Path, monkeypatch) -> None:
    """Against the scene at the time of the second's last frame, of one window at both frame rates."""
    written, write = [], SampleWriter.write

    def kept(self, text, turns, **how):
        written.append((turns, how["bare"]))
        return write(self, text, turns, **how)

    monkeypatch.setattr(SampleWriter, "write", kept)
    monkeypatch.setattr(ArenaDataset, "_number", lambda *_dice, **_fast: 1)
    samples = [dataset(tmp_path, kind, num_samples=16)[number] for number in range(16)]
    window, timeline = WindowStore(tmp_path).window(1), Timeline(draw_setup("soccer", training_seed(1)))
    checked = dict.fromkeys((Ask.THIRD, Ask.BALL), 0)
    for (turns, bare), sample in zip(written, samples, strict=True):
        assert bare == (kind == "looks")
        last = 1 - 1 / (2 * sample.frames[0].grid_thw[0])
        assert kind != "looks" or all(turn.question for turn in turns)
        for second, turn in enumerate(turns):
            scene = timeline.scene(len(window.history) + second + last)
            if turn.question in QUESTIONS[Ask.THIRD]:
                column = int((scene.ball[0] / WORLD_WIDTH + 0.5) * 3)
                assert turn.reply == THIRDS[min(max(column, 0), 2)]
                checked[Ask.THIRD] += 1
            if turn.question in QUESTIONS[Ask.BALL]:
                wanted = "nobody" if scene.holder is None else window.kits[team_of(scene.holder)]
                assert turn.reply.split()[0] == wanted
                checked[Ask.BALL] += 1
    assert min(checked.values()) >= 10


def test_windows_are_drawn_once(tmp_path: Path) -> None:
    first = dataset(tmp_path, "chunks")[0]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = dataset(tmp_path, "chunks")[0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert all(
        (a.pixel_values == b.pixel_values).all() for a, b in zip(first.frames, again.frames, strict=True)
    )
    assert len(first.frames) == 24
