"""Training samples of the arena in words alone: two words stand for what the frames of a second show."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from svlm_cli.arena.moments import Kind
from svlm_cli.data.samples.sample import Sample, SampleWriter, Turn
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut
from svlm_cli.train.arena.asking import (
    DEEP,
    LONG_ROW,
    ROW,
    TOLD,
    TOLD_BARE,
    AskedPast,
    draw_asked_past,
    no_past,
    with_questions,
)
from svlm_cli.train.arena.frames import MATCH_MINUTES, WINDOW_SECONDS
from svlm_cli.train.arena.play import (
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
    with_random_sides,
)
from svlm_cli.train.arena.quiz import QUIZ_FORMS, QuizForm
from svlm_cli.train.arena.recall import draw_past, each_with_slips, with_far_scores, with_hole
from svlm_cli.train.arena.telling import (
    draw_asked_limits,
    draw_clock,
    draw_previous,
    draw_query,
    told_turns,
    two_kits,
)

SYMBOL_TURNS = (12, 24, 28)
COUNT_TURNS = (2, 2, 4, 6, 9, 15)
RANDOM_SIDES_SHARE = 0.6
SCORING_SHARE = 0.5
TOLD_GOALS_SHARE = 0.6
RECALL_SECONDS = ((60, 240), (300, 600), (600, 900))
RECALL_SINKS = (32, 64, 128, 256, 512)
RECALL_WINDOWS = (256, 384, 512, 512)
LATE_MINUTES = 60.0
LATE_SECONDS = (900, 3000)
LATE_SINKS = (256, 384, 512, 512)
LATE_FAR_SHARE = 0.5
GAME_SECONDS = ((30, 300), (300, 1500))
NEW_GAME_SHARE = 0.5
ASKED_SECONDS = ((0, 120), (120, 600), (600, 2400))
ASKED_BARE_SHARE = 0.5
ASKED_ROW_LINES = (4, 12, 24, 60)
ASKED_ROW_TURNS = 6
DEEP_TURN = 13
DEEP_NEW_GAME_SHARE = 0.25
LONG_ROW_SECONDS = 600
LONG_ROW_TURNS = (60, 100, 140)
LONG_ROW_SAID = (0.3, 0.6, 1.0)
LONG_ROW_SILENT = 0.05
NEW_GAME_TRIES = 40
WHOLE = WindowLimits(512, 512, 16, 16)
# Shares of the seconds that are kept where a row of events is to be dense, and where it is to be about goals.
_DENSE: Mapping[Kind | None, float] = {None: 0.1, Kind.PASS: 0.25, Kind.STEAL: 0.4}
_SCORING: Mapping[Kind | None, float] = {None: 0.01, Kind.PASS: 0.02, Kind.STEAL: 0.02, Kind.SAVE: 0.1}
_SCORED = (Kind.GOAL, Kind.GOAL, Kind.SCORE, Kind.KICK_OFF)


class TextSamples:
    """Samples by kind, see ``sections.ArenaMix``.

    Args:
        writer: what writes prompts.
        sampler: what draws samples at 2 frames a second.
        num_plays: how many different matches they are told from.
    """

    def __init__(self, writer: PromptWriter, sampler: SampleWriter, num_plays: int) -> None:
        self._writer = writer
        self._sampler = sampler
        self._num_plays = num_plays
        self.makers: Mapping[str, Callable[[random.Random, random.Random], Sample]] = {
            "symbols": self._symbols,
            "counts": self._counts,
            "told": self._told,
            "recall": self._recall,
            "far": functools.partial(self._recall, far=True),
            "late": self._late,
            "games": self._games,
            "asked": self._asked,
            "deep": self._deep,
            "asked_deep": self._asked_deep,
            "asked_rows": self._asked_row,
            "long_rows": self._long_row,
            **{kind: functools.partial(self._quiz, form=form) for kind, form in QUIZ_FORMS.items()},
        }

    def late_beats(self, dice: random.Random) -> tuple[Beat, ...]:
        """A match of an hour; there is one for four of those of a quarter of an hour."""
        number = dice.randrange(max(1, self._num_plays // 4))
        return play(training_seed(700_000 + number), LATE_MINUTES)

    def _symbols(self, shared: random.Random, dice: random.Random) -> Sample:
        """An opening and a row of events."""
        return self._bare_row(self._row(shared.choice(SYMBOL_TURNS), dice), dice)

    def _quiz(self, shared: random.Random, dice: random.Random, *, form: QuizForm) -> Sample:
        """A row of events, and questions about it."""
        of_all = None if dice.random() < form.goals_share else form.of_all
        num_turns = shared.choice(form.turns)
        chosen: list[Beat] = []
        while not chosen:  # not every stretch of a match has goals
            chosen = (self._row if of_all else self._goal_row)(num_turns, dice)
        cast = draw_cast(two_kits(dice), dice)
        past = no_past(cast, draw_score(chosen, dice))
        slips = 0.0 if of_all else dice.choice(form.slip_shares)
        told = [*each_with_slips(chosen, cast, past.score, dice, slips)]
        turns = told_turns(chosen, [line for line, *_ in told], cast, draw_clock(0, dice))
        turns = [
            replace(turn, is_line_trained=not slips) for turn, (*_, slips) in zip(turns, told, strict=True)
        ]
        asked = with_questions(
            *(turns, chosen, past, cast, dice),
            of_all or form.of_goals,
            scores=[score for _, score, _ in told],
        )
        is_bare = shared.random() < form.bare_share
        return self._sampler.write(past.text, asked, kept=past.kept, bare=is_bare)

    def _row(self, num_turns: int, dice: random.Random) -> list[Beat]:
        """Events with few silent seconds between them; passes thinned."""
        beats = self._beats(dice)
        start = dice.randrange(len(beats) - 200)
        thinned = _SCORING if dice.random() < SCORING_SHARE else _DENSE
        kept = (beat for beat in beats[start:] if dice.random() < thinned.get(beat.kind, 1.0))
        chosen = with_cards(list(islice(kept, num_turns)), dice)
        return with_random_sides(chosen, dice) if dice.random() < RANDOM_SIDES_SHARE else chosen

    def _counts(self, shared: random.Random, dice: random.Random) -> Sample:
        """An opening and a row of goals."""
        return self._bare_row(self._goal_row(shared.choice(COUNT_TURNS), dice), dice)

    def _goal_row(self, num_turns: int, dice: random.Random) -> list[Beat]:
        """Goals, each behind its shot, with few other events."""
        beats = self._beats(dice)
        kept = goals_of(beats[dice.randrange(len(beats) // 2) :], dice)
        return with_random_sides(list(islice(kept, num_turns)), dice)

    def _bare_row(self, chosen: Sequence[Beat], dice: random.Random) -> Sample:
        cast = draw_cast(two_kits(dice), dice)
        score = draw_score(chosen, dice)
        lines, _ = tell(chosen, cast, score)
        turns = told_turns(chosen, lines, cast)
        return self._sampler.write(cast.opening(score), turns, bare=True)

    def _told(self, shared: random.Random, dice: random.Random) -> Sample:
        """A whole chunk behind commentary of any length, in words alone."""
        beats = self._beats(dice)
        wanted = Kind.GOAL if dice.random() < TOLD_GOALS_SHARE else None
        start = max(draw_window(beats, WINDOW_SECONDS, dice, wanted), WINDOW_SECONDS)
        cast = draw_cast(two_kits(dice), dice)
        longest = shared.choice((60, 120, 240, 480, 900))
        text, limits, score = draw_previous(beats[:start], cast, longest, dice)
        chosen = beats[start : start + WINDOW_SECONDS]
        lines, _ = tell(chosen, cast, score)
        turns = told_turns(chosen, lines, cast, draw_clock(start, dice))
        kept = middle_cut(len(self._writer.encode(text)), limits)
        return self._sampler.write(text, turns, kept=kept, query=draw_query(dice))

    def _recall(self, shared: random.Random, dice: random.Random, *, far: bool = False) -> Sample:
        """A whole chunk behind commentary whose scores are trained on, in words alone."""
        beats = self._beats(dice)
        start = max(draw_window(beats, WINDOW_SECONDS, dice, dice.choice(_SCORED)), WINDOW_SECONDS)
        cast = draw_cast(two_kits(dice), dice)
        seconds = min(start, dice.randint(*shared.choice(RECALL_SECONDS)))
        limits = WindowLimits(dice.choice(RECALL_SINKS), dice.choice(RECALL_WINDOWS), 16, 16)
        return self._recalled(beats, start, seconds, cast, limits, dice, far=far)

    def _late(self, _shared: random.Random, dice: random.Random) -> Sample:
        """The same, later in a match."""
        beats = self.late_beats(dice)
        start = max(draw_window(beats, WINDOW_SECONDS, dice, dice.choice(_SCORED)), WINDOW_SECONDS)
        cast = draw_cast(two_kits(dice), dice)
        limits = WindowLimits(dice.choice(LATE_SINKS), dice.choice(RECALL_WINDOWS), 16, 16)
        seconds = min(start, dice.randint(*LATE_SECONDS))
        return self._recalled(beats, start, seconds, cast, limits, dice, far=dice.random() < LATE_FAR_SHARE)

    def _games(self, shared: random.Random, dice: random.Random) -> Sample:
        """The same, at any time of a match, half of them between a new game and its first goal."""
        beats = self.late_beats(dice)
        start = max(draw_window(beats, WINDOW_SECONDS, dice, dice.choice(_SCORED)), WINDOW_SECONDS)
        cast = draw_cast(two_kits(dice), dice)
        seconds = min(start, dice.randint(*shared.choice(GAME_SECONDS)))
        far = dice.random() < LATE_FAR_SHARE
        new_game = dice.random() < NEW_GAME_SHARE
        return self._recalled(beats, start, seconds, cast, WHOLE, dice, far=far, new_game=new_game)

    def _deep(self, _shared: random.Random, dice: random.Random) -> Sample:
        """The same, with no score for long before the chunk's, behind as many turns as a stream has."""
        beats: Sequence[Beat] = self.late_beats(dice)
        inside = range(WINDOW_SECONDS, len(beats) - WINDOW_SECONDS)
        second = dice.choice([each for each in inside if beats[each].kind in _SCORED])
        beats = with_hole(beats, second, dice)
        start = second - dice.randint(DEEP_TURN, WINDOW_SECONDS - 2)
        cast = draw_cast(two_kits(dice), dice)
        seconds = min(start, dice.randint(*dice.choice(GAME_SECONDS)))
        new_game = dice.random() < DEEP_NEW_GAME_SHARE
        return self._recalled(beats, start, seconds, cast, WHOLE, dice, far=False, new_game=new_game)

    def _asked(self, shared: random.Random, dice: random.Random) -> Sample:
        """A whole chunk with questions, or bare turns with one in each, behind commentary, in words alone."""
        turns, chosen, past, cast = self._behind(shared.choice(ASKED_SECONDS), dice)
        is_bare = shared.random() < ASKED_BARE_SHARE
        asked = with_questions(turns, chosen, past, cast, dice, TOLD_BARE if is_bare else TOLD)
        query = "" if is_bare else draw_query(dice)
        return self._sampler.write(past.text, asked, kept=past.kept, query=query, bare=is_bare)

    def _asked_deep(self, shared: random.Random, dice: random.Random) -> Sample:
        """A whole chunk behind all of its commentary, with questions behind as many turns as a stream has."""
        turns, chosen, past, cast = self._behind(shared.choice(GAME_SECONDS), dice, WHOLE)
        asked = with_questions(turns, chosen, past, cast, dice, DEEP, first=DEEP_TURN)
        return self._sampler.write(past.text, asked, kept=past.kept, query=draw_query(dice))

    def _behind(
        self, span: tuple[int, int], dice: random.Random, limits: WindowLimits | None = None
    ) -> tuple[list[Turn], Sequence[Beat], AskedPast, Cast]:
        """A chunk of a match behind the commentary of ``span`` seconds, cut to ``limits`` or to any."""
        beats = self.late_beats(dice)
        start = dice.randrange(WINDOW_SECONDS, len(beats) - WINDOW_SECONDS)
        cast = draw_cast(two_kits(dice), dice)
        seconds = min(start, dice.randint(*span))
        before = beats[start - seconds : start]
        past = draw_asked_past(before, cast, limits or draw_asked_limits(dice), dice)
        chosen = beats[start : start + WINDOW_SECONDS]
        lines, _ = tell(chosen, cast, past.score)
        return told_turns(chosen, lines, cast, draw_clock(start, dice)), chosen, past, cast

    def _asked_row(self, shared: random.Random, dice: random.Random) -> Sample:
        """Silent bare turns with questions behind a row of lines, which alone tell the answers."""
        cast = draw_cast(two_kits(dice), dice)
        row = self._row(shared.choice(ASKED_ROW_LINES), dice)
        past = draw_asked_past(row, cast, draw_asked_limits(dice), dice)
        silent = [Beat(None, None, None)] * ASKED_ROW_TURNS
        turns = told_turns(silent, [""] * ASKED_ROW_TURNS, cast)
        asked = with_questions(turns, silent, past, cast, dice, ROW)
        return self._sampler.write(past.text, asked, kept=past.kept, bare=True)

    def _long_row(self, shared: random.Random, dice: random.Random) -> Sample:
        """Minutes of a match in bare turns, few of them silent, some with a question; few scores in half.

        Whose a foul is shows nowhere: in a stream its frames soon go, and the line of the free kick tells.
        """
        beats: Sequence[Beat] = self.late_beats(dice)
        beats = beats[dice.randrange(len(beats) - LONG_ROW_SECONDS) :]
        if dice.random() < LATE_FAR_SHARE:
            beats = with_far_scores(beats, dice)
        said = dice.choice(LONG_ROW_SAID)
        shares = {None: LONG_ROW_SILENT, Kind.PASS: said, Kind.STEAL: said}
        kept = (beat for beat in beats if dice.random() < shares.get(beat.kind, 1.0))
        chosen = list(islice(kept, shared.choice(LONG_ROW_TURNS)))
        cast = draw_cast(two_kits(dice), dice)
        past = no_past(cast, draw_score(chosen, dice))
        lines, _ = tell(chosen, cast, past.score)
        seen = [replace(beat, side=None) if beat.kind is Kind.FOUL else beat for beat in chosen]
        turns = [
            replace(turn, is_line_trained=beat.kind is not Kind.FREE_KICK)
            for turn, beat in zip(told_turns(seen, lines, cast), chosen, strict=True)
        ]
        asked = with_questions(turns, chosen, past, cast, dice, LONG_ROW, unseen=Kind.FREE_KICK)
        return self._sampler.write(past.text, asked, kept=past.kept, bare=True)

    def _recalled(
        self,
        beats: Sequence[Beat],
        start: int,
        seconds: int,
        cast: Cast,
        limits: WindowLimits,
        dice: random.Random,
        *,
        far: bool,
        new_game: bool = False,
    ) -> Sample:
        """The chunk from ``start`` on behind the commentary of the ``seconds`` before."""
        past = beats[start - seconds : start]
        told = draw_past(with_far_scores(past, dice) if far else past, cast, limits, dice)
        for _ in range(NEW_GAME_TRIES if new_game else 0):
            if told.score == (0, 0) and told.reaches_back:
                break
            told = draw_past(past, cast, limits, dice)
        if not told.reaches_back:
            told = draw_past(past, cast, limits, dice)
        chosen = beats[start : start + WINDOW_SECONDS]
        turns = told_turns(chosen, tell(chosen, cast, told.score)[0], cast, draw_clock(start, dice))
        return self._sampler.write(
            told.text, turns, kept=told.kept, query=draw_query(dice), trained=told.trained
        )

    def _beats(self, dice: random.Random) -> tuple[Beat, ...]:
        number = dice.randrange(self._num_plays)
        return play(training_seed(500_000 + number), MATCH_MINUTES)
