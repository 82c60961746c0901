from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from svlm_cli.arena.moments import Kind
from svlm_cli.arena.setup import NUMBERS
from svlm_cli.data.samples.sample import IGNORED
from svlm_cli.model.window import TokenRange, WindowLimits
from svlm_cli.train.arena.play import Cast, play, training_seed
from svlm_cli.train.arena.recall import _after_cut, draw_past, tell_with_slips, with_far_scores
from svlm_cli.train.arena.telling import draw_previous
from svlm_cli.train.learner import new_tokenizer
from tests.train.small import dataset

CAST = Cast(("Lions", "Sharks"), ("red", "blue"), "Moreno")


def test_after_a_slip_the_match_goes_on_from_the_score_said() -> None:
    lines, end = tell_with_slips(play(training_seed(3), 60.0), CAST, (4, 0), random.Random(1))
    score: tuple[int, int] = (4, 0)
    for line, known in lines:
        expected = score
        if line.startswith("goal"):
            expected = (score[0] + ("Lions" in line), score[1] + ("Sharks" in line))
        if line.endswith("nil nil") and line.startswith("kick"):
            assert 10 in score
            expected = (0, 0)
        said = tuple(NUMBERS.index(word) for word in line.split() if word in NUMBERS)
        assert not said or not known or said == expected
        score = (said[0], said[1]) if said else score
    assert score == end
    assert (
        0.05
        < sum(not known for _, known in lines) / sum(line[:4] in ("goal", "scor") for line, _ in lines)
        < 0.2
    )


def test_recall_trains_on_the_scores_of_the_earlier_commentary(tmp_path: Path) -> None:
    samples = dataset(tmp_path, "recall", num_samples=20)
    tokenizer = new_tokenizer()
    told = 0
    for number in range(20):
        sample = samples[number]
        first_turn = tokenizer.decode(sample.input_ids).split("<|im_start|>user")[0]
        head = len(tokenizer(first_turn, add_special_tokens=False).input_ids)
        words = tokenizer.decode(sample.labels[:head][sample.labels[:head] != IGNORED]).split()
        assert set(words) <= set(NUMBERS)
        told += len(words)
    assert told > 100


def test_games_often_go_on_from_nil_nil(tmp_path: Path) -> None:
    samples = dataset(tmp_path, "games", num_samples=60)
    tokenizer = new_tokenizer()
    last_said = []
    for number in range(60):
        before = tokenizer.decode(samples[number].input_ids).split("<|im_start|>user")[0]
        last_said.append([word for word in before.split() if word in NUMBERS][-2:])
    assert 20 < last_said.count(["nil", "nil"]) < 50


def test_a_small_window_is_drawn_only_where_it_shows_the_last_score() -> None:
    """A score whose evidence is cut away would be learnt as a guess."""
    beats, dice = play(training_seed(3), 10.0), random.Random(0)
    drawn = [draw_previous(beats[:300], CAST, 300, dice) for _ in range(200)]
    small = [(text.split(), limits) for text, limits, _ in drawn if limits.text_window < 512]
    assert 5 < len(small) < 100
    for words, limits in small:
        shown = words if len(words) <= limits.sink + limits.text_window else words[-limits.text_window :]
        assert set(shown) & set(NUMBERS)


@pytest.mark.parametrize("at", [0, 3])
def test_the_first_score_behind_the_cut_is_not_trained_on(at: int) -> None:
    score = [False, False, True, True]
    kept = (TokenRange(0, 4), TokenRange(4 + at, 12))
    trained = _after_cut(score * 3, kept)
    behind = (score * 2)[at:]
    first = behind.index(True)
    behind[first : first + 2] = [False, False]
    assert trained == score + behind


def test_far_scores_lie_far_apart_and_no_kick_off_follows_a_goal_that_was_not() -> None:
    beats = play(training_seed(3), 60.0)
    far = with_far_scores(beats, random.Random(2))
    assert len(far) == len(beats)
    assert [beat.holder for beat in far] == [beat.holder for beat in beats]

    def num_scores(row) -> int:
        return sum(beat.kind in (Kind.GOAL, Kind.SCORE) for beat in row)

    assert 0.2 < num_scores(far) / num_scores(beats) < 0.6
    spoken = [beat.kind for beat in far if beat.kind is not None]
    assert all(a is Kind.GOAL for a, b in pairwise(spoken[1:]) if b is Kind.KICK_OFF)


def test_a_past_says_whether_its_last_score_is_kept() -> None:
    beats = play(training_seed(3), 15.0)
    whole = draw_past(beats, CAST, WindowLimits(512, 512, 16, 16), random.Random(1))
    cut = draw_past(beats, CAST, WindowLimits(32, 4, 16, 16), random.Random(1))
    assert whole.reaches_back
    assert len(cut.kept) == 2
    assert cut.reaches_back == any(word in NUMBERS for word in cut.text.split()[-4:])
    assert cut.text == whole.text
    assert len(cut.trained) == 36
