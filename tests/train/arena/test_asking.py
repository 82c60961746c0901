"""Questions in training samples against a reading of nothing but the words that a sample shows."""

from __future__ import annotations

import random
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from svlm_cli.arena.asking.wording import CLAIMS, LEVEL_CLAIM, NOBODY_CLAIMS, NOT_KNOWN, QUESTIONS, Ask
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.setup import NUMBERS
from svlm_cli.data.samples.sample import SampleWriter, Turn
from svlm_cli.model.family.markup import find_markup
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.train.arena.asking import (
    AskedPast,
    AskForm,
    draw_asked_past,
    no_past,
    with_questions,
)
from svlm_cli.train.arena.play import (
    draw_cast,
    draw_score,
    goals_of,
    play,
    tell,
    training_seed,
    with_cards,
    with_random_sides,
)
from svlm_cli.train.arena.quiz import QUIZ_FORMS
from svlm_cli.train.arena.recall import each_with_slips, with_hole
from svlm_cli.train.arena.telling import draw_asked_limits
from svlm_cli.train.arena.text import DEEP_TURN, TextSamples
from svlm_cli.train.learner import new_tokenizer

TOKENIZER = new_tokenizer()
WRITER = PromptWriter(TOKENIZER, find_markup(TOKENIZER))
BEATS = play(training_seed(41), 30)
SECONDS = 60  # long chunks: more questions of each kind


def drawn(seed: int) -> tuple[AskedPast, list[Turn]]:
    dice = random.Random(seed)
    start = dice.randrange(30, len(BEATS) - SECONDS)
    cast = draw_cast(("red", "blue"), dice)
    past = draw_asked_past(BEATS[max(0, start - 900) : start], cast, draw_asked_limits(dice), dice)
    chosen = BEATS[start : start + SECONDS]
    lines, _ = tell(chosen, cast, past.score)
    turns = [Turn(float(k), float(k + 1), line) for k, line in enumerate(lines)]
    return past, with_questions(turns, chosen, past, cast, dice, AskForm(shares=(0.05, 0.2, 0.6)))


def drawn_row(seed: int, kind: str = "asked_rows") -> tuple[SimpleNamespace, list[Turn]]:
    """As ``drawn``, of a sample of a kind."""

    def keep(text: str, turns: list[Turn], **how: Any) -> tuple[SimpleNamespace, list[Turn]]:
        return SimpleNamespace(text=text, kept=how["kept"]), turns

    samples = TextSamples(WRITER, SimpleNamespace(write=keep), 8)
    return samples.makers[kind](random.Random(seed), random.Random(seed))


def drawn_long_row(seed: int) -> tuple[SimpleNamespace, list[Turn]]:
    return drawn_row(seed, "long_rows")


def replies_in(text: str) -> list[str]:
    """What stands before a line break at the start of an answer, behind a header or, in bare rows, frames."""
    return re.findall(r"(?:assistant\n|vision_end\|>) ([^\n<]*)\n", text)


def drawn_quiz(seed: int) -> tuple[AskedPast, list[Turn]]:
    """As ``drawn``, of a row of events behind the opening text alone."""
    dice = random.Random(seed)
    cast = draw_cast(("red", "blue"), dice)
    chosen = with_random_sides(
        with_cards([beat for beat in BEATS[seed * 20 :] if beat.kind][:30], dice), dice
    )
    past = no_past(cast, draw_score(chosen, dice))
    lines, _ = tell(chosen, cast, past.score)
    turns = [Turn(float(k), float(k + 1), line) for k, line in enumerate(lines)]
    return past, with_questions(turns, chosen, past, cast, dice, QUIZ_FORMS["quiz"].of_all)


def shown(past: AskedPast) -> tuple[str, bool]:
    """The kept words behind the cut, and whether there is a cut."""
    ids = TOKENIZER.encode(past.text, add_special_tokens=False)
    last = past.kept[-1]
    return TOKENIZER.decode(ids[last.start : last.end]), len(past.kept) > 1


def asked_for(turn: Turn, kind: Ask) -> bool:
    forms = (re.sub(r"\{.*?\}", ".+", form) for form in QUESTIONS[kind])
    return any(re.fullmatch(form, turn.question) for form in forms)


@pytest.mark.parametrize("draw", [drawn, drawn_row, drawn_long_row, drawn_quiz])
def test_scores_and_last_events_are_those_of_the_words_that_are_shown(draw) -> None:
    checked = dict.fromkeys((Ask.SCORE, Ask.SCORER, Ask.FREE_KICK), 0)
    unknown = 0
    for seed in range(60):
        past, turns = draw(seed)
        text, is_cut = shown(past)
        number = "|".join(NUMBERS)
        for turn in turns:
            found = {
                Ask.SCORE: re.findall(
                    rf"(?:goal for \w+ \w+|score|kick off by \w+ \w+) ((?:{number}) (?:{number}))", text
                ),
                Ask.SCORER: re.findall(r"goal for (\w+ \w+)", text),
                Ask.FREE_KICK: re.findall(r"free kick for (\w+ \w+)", text),
            }
            is_changing = turn.line.startswith(("goal", "free kick")) or "nil nil" in turn.line
            for kind, said in found.items():
                if not asked_for(turn, kind) or is_changing:
                    continue
                if said:
                    assert turn.reply in (said[-1], NOT_KNOWN) if len(said) == 1 else turn.reply == said[-1]
                else:
                    assert turn.reply == (NOT_KNOWN if is_cut else "nobody") or kind is Ask.SCORE
                checked[kind] += 1
                unknown += turn.reply == NOT_KNOWN
            text += f" {turn.line}"
    assert min(checked.values()) > 5
    assert draw is drawn_row or (unknown > 5) == (draw is drawn)


def test_nothing_is_asked_again_in_a_row() -> None:
    kinds: Counter[Ask] = Counter()
    for seed in range(60):
        asked = [turn.question for turn in drawn_row(seed)[1] if turn.question]
        found = Counter(kind for kind in Ask for turn in drawn_row(seed)[1] if asked_for(turn, kind))
        assert asked
        assert all(count == 1 or kind is Ask.GOALS for kind, count in found.items()), (seed, found)
        kinds += found
    assert min(kinds[kind] for kind in (Ask.FREE_KICK, Ask.SCORER, Ask.LEADER, Ask.CARD, Ask.SCORE)) > 10


def test_whose_a_foul_is_shows_nowhere_in_a_long_row() -> None:
    for seed in range(20):
        for turn in drawn_long_row(seed)[1]:
            assert turn.line != "foul" or turn.symbols == (" foul", " ...")
            is_free_kick = turn.line.startswith("free kick")
            assert turn.is_line_trained != is_free_kick
            assert not (is_free_kick and turn.question)


def test_in_deep_samples_scores_and_questions_come_behind_many_turns() -> None:
    scored = 0
    for seed in range(30):
        questions = [k for k, turn in enumerate(drawn_row(seed, "asked_deep")[1]) if turn.question]
        assert min(questions, default=DEEP_TURN) >= DEEP_TURN
        lines = [turn.line for turn in drawn_row(seed, "deep")[1]]
        assert not any(re.search(r"goal|score", line) for line in lines[:DEEP_TURN])
        scored += any(re.search(r"goal|score|kick off", line) for line in lines[DEEP_TURN:])
    assert scored > 14  # a kick-off goes with its goal, and a third of them are chosen for one


def test_a_hole_has_no_scores_and_all_before_it_is_as_it_was() -> None:
    dice, lengths = random.Random(2), set()
    for _ in range(30):
        end = dice.randrange(400, len(BEATS))
        holed = with_hole(BEATS, end, dice)
        changed = [second for second, (old, new) in enumerate(zip(BEATS, holed, strict=True)) if old != new]
        assert all(holed[second].kind is None for second in changed)
        scored = [second for second in changed if BEATS[second].kind in (Kind.GOAL, Kind.SCORE)]
        first = min(scored, default=end)
        assert not any(beat.kind in (Kind.GOAL, Kind.SCORE) for beat in holed[first:end])
        assert end - 360 <= first
        assert max(scored, default=0) < end
        # A goal and the kick-off behind it go together, so that no game runs past its last goal.
        kick_offs = [sum(beat.kind is Kind.KICK_OFF for beat in each) for each in (BEATS, holed)]
        assert abs(kick_offs[0] - kick_offs[1] - sum(BEATS[each].kind is Kind.GOAL for each in changed)) <= 1
        lengths.add((end - first) // 60)
    assert len(lengths) > 3


@pytest.mark.parametrize("kind", ["deep", "asked_deep", "long_rows", "asked_rows"])
def test_no_score_of_many_samples_goes_past_the_end_of_a_game(kind: str) -> None:
    for seed in range(395, 475):
        drawn_row(seed, kind)


def last_score(text: str) -> str:
    number = "|".join(NUMBERS)
    return re.findall(rf"(?:goal for \w+ \w+|score|kick off by \w+ \w+) ((?:{number}) (?:{number}))", text)[
        -1
    ]


def leader_in(text: str) -> str:
    """Who leads by the last score in words: of the opening text, of a goal, of a new game."""
    opening = re.match(r"(\w+ \w+) against (\w+ \w+) score (\w+ \w+) first to ten referee \w+", text)
    first, second = map(NUMBERS.index, last_score(text).split())
    return opening[1] if first > second else opening[2] if second > first else "level"


def test_a_quiz_asks_who_leads_and_is_right_before_and_behind_a_goal() -> None:
    leaders = set()
    for seed in range(40):
        past, turns = drawn_quiz(seed)
        text = past.text
        for turn in turns:
            text += f" {turn.line}"  # a question is put at the end of its second
            if asked_for(turn, Ask.LEADER):
                assert turn.reply == leader_in(text)
                leaders.add(turn.reply)
    assert {"level", "red", "blue"} == {reply.split()[0] for reply in leaders}


def test_a_score_that_jumps_is_asked_about_only_behind_its_line() -> None:
    """Nothing shows it before, and its numbers are not to be learnt."""
    asked = 0
    for seed in range(30):
        dice = random.Random(seed)
        cast = draw_cast(("red", "blue"), dice)
        chosen = list(goals_of(BEATS, dice))[:30]
        past = no_past(cast, draw_score(chosen, dice))
        told = [*each_with_slips(chosen, cast, past.score, dice, 0.5)]
        turns = [Turn(float(k), float(k + 1), line) for k, (line, *_) in enumerate(told)]
        scores = [score for _, score, _ in told]
        text = past.text
        asked_turns = with_questions(
            *(turns, chosen, past, cast, dice), AskForm(shares=(1.0,)), scores=scores
        )
        before = [past.score, *scores[:-1]]
        for beat, earlier, score, turn in zip(chosen, before, scores, asked_turns, strict=True):
            text += f" {turn.line}"
            assert bool(turn.question) == (tell([beat], cast, earlier)[1] == score)
            if asked_for(turn, Ask.LEADER):
                assert turn.reply == leader_in(text)
                asked += 1
    assert asked > 20


@pytest.mark.parametrize("kind", ["asked", "asked_deep", "asked_rows", "long_rows", *QUIZ_FORMS])
@pytest.mark.parametrize("seed", range(6))
def test_a_sample_is_written_in_known_words_and_its_replies_are_trained_on(kind: str, seed: int) -> None:
    samples = TextSamples(WRITER, SampleWriter(WRITER, 2, 1.0), 2)
    sample = samples.makers[kind](random.Random(seed), random.Random(seed))
    text = TOKENIZER.decode(sample.input_ids.tolist())
    assert "<unk>" not in text
    trained = TOKENIZER.decode(sample.input_ids[sample.labels >= 0].tolist())
    replies = replies_in(text)
    # Where every score jumps, a short row may leave nothing to ask.
    assert replies or kind in ("tallies", "leads")
    assert all(f" {reply}\n" in trained for reply in replies)
    assert (
        sample.input_ids.tolist()
        == samples.makers[kind](random.Random(seed), random.Random(seed)).input_ids.tolist()
    )


@pytest.fixture
def written(monkeypatch) -> list[tuple[str, list[Turn], bool]]:
    """Earlier words, turns and whether they are bare, of every sample."""
    found, write = [], SampleWriter.write

    def kept(self, text, turns, **how):
        found.append((text, turns, how["bare"]))
        return write(self, text, turns, **how)

    monkeypatch.setattr(SampleWriter, "write", kept)
    return found


def test_bare_turns_are_all_asked_in_but_not_for_what_only_the_clock_tells(written) -> None:
    samples = TextSamples(WRITER, SampleWriter(WRITER, 2, 1.0), 40)
    for number in range(40):
        samples.makers["asked"](random.Random(number), random.Random(number))
    shares = {True: [], False: []}
    for _, turns, bare in written:
        assert all(
            turn.question or turn.line for turn in turns if bare
        )  # some have no clear answer mid-event
        assert not any(" ago" in turn.question for turn in turns if bare)
        shares[bare].append(sum(bool(turn.question) for turn in turns) / len(turns))
    assert min(map(len, shares.values())) > 8
    assert min(shares[True]) > 0.7
    assert any(" ago" in turn.question for _, turns, _ in written for turn in turns)


@pytest.mark.parametrize("kind", QUIZ_FORMS)
def test_a_quiz_asks_what_it_says_and_is_right_about_scores(kind: str, written) -> None:
    """In bare and in whole rows; scores and leaders are read from the words up to the second asked about."""
    samples = TextSamples(WRITER, SampleWriter(WRITER, 2, 1.0), 2)
    for number in range(40):
        samples.makers[kind](random.Random(number), random.Random(number))
    assert 3 < sum(not bare for *_, bare in written) < sum(bare for *_, bare in written)
    form, checked = QUIZ_FORMS[kind], Counter()
    wanted = {ask for part in (form.of_goals, form.of_all) if part for ask in part.kinds}
    for text, turns, _ in written:
        for turn in turns:
            text += f" {turn.line}"
            if not turn.question:
                continue
            claim = claimed(turn.question)
            asked = claim or next(ask for ask in Ask if asked_for(turn, ask))
            assert asked in wanted
            assert kind not in ("leads", "claims") or bool(claim) == (kind == "claims")
            assert not claim or turn.reply in ("yes", "no", NOT_KNOWN)
            if turn.reply == NOT_KNOWN:  # whose goal that is was shown before the row began
                assert turn.line.startswith("goal") or asked not in (Ask.LEADER, Ask.SCORE)
                continue
            if asked is Ask.LEADER:
                told = re.sub("^(do|are|is it) | (lead|ahead)$", "", turn.question)
                truth = leader_in(text)
                assert turn.reply == (truth if not claim else "yes" if told == truth else "no")
            if asked is Ask.SCORE:
                truth = last_score(text)
                assert turn.reply == (
                    truth if not claim else "yes" if turn.question.endswith(truth) else "no"
                )
            checked[asked, turn.reply if claim else None] += 1
    if kind == "claims":
        assert {(ask, reply) for ask in (Ask.LEADER, Ask.SCORE) for reply in ("yes", "no")} <= {*checked}
    else:  # in rows of all events the score is asked for as often as who leads, in rows of goals far less
        assert checked[Ask.LEADER, None] > max(10, 2 * checked[Ask.SCORE, None])


def claimed(question: str) -> Ask | None:
    """What is claimed, where it is to be answered by yes or no."""
    if question == LEVEL_CLAIM:
        return Ask.LEADER
    number = "(?:" + "|".join(NUMBERS) + ")"
    fill = {"{score}": f"{number} {number}", "{count}": number}
    forms = [(ask, form) for ask, forms in CLAIMS.items() for form in forms] + [*NOBODY_CLAIMS.items()]
    for ask, form in forms:
        pattern = re.sub(r"\{\w+\}", lambda found: fill.get(found[0], ".+"), form)
        if re.fullmatch(pattern, question):
            return ask
    return None
