"""Questions of random matches against a second reading of their truth, which counts events one by one."""

from __future__ import annotations

import functools
import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.asking.asked import ALL, OPENING, Evidence, EvidencePlace, HeardSecond
from svlm_cli.arena.asking.listener import Listener
from svlm_cli.arena.asking.match import (
    MEAN_GAP_SECONDS,
    QUESTIONS_DRAWN,
    MatchQuestion,
    heard_seconds,
    match_questions,
)
from svlm_cli.arena.asking.wording import NOT_KNOWN, THIRDS, Ask
from svlm_cli.arena.dice import Dice
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.narrate import parse_line
from svlm_cli.arena.plane import WORLD_WIDTH
from svlm_cli.arena.setup import KITS, NUMBERS, REFEREES, TEAMS, MatchSetup, draw_setup, team_of
from svlm_cli.arena.timeline import Timeline
from svlm_cli.arena.truth import TruthSecond, truth

MINUTES = 40
SEEDS = (3, 2024, 77_001)


class Match:
    def __init__(self, seed: int) -> None:
        address = ArenaAddress(seed=seed, minutes=MINUTES)
        self.setup: MatchSetup = draw_setup("soccer", seed)
        self.seconds: list[TruthSecond] = list(truth(address))
        self.questions: list[MatchQuestion] = list(match_questions(address))

    def lines(self, question: MatchQuestion, kind: Kind) -> list[TruthSecond]:
        heard = self.seconds[: question.second + 1]
        return [record for record in heard if record.spoken and record.spoken.kind == kind]

    def team(self, name: str | None) -> str:
        assert name is not None
        return f"{self.setup.kits[self.setup.names.index(name)]} {name}"

    def other(self, name: str | None) -> str:
        assert name is not None
        return self.team(self.setup.names[1 - self.setup.names.index(name)])


@functools.cache
def played(seed: int) -> Match:
    return Match(seed)


@pytest.fixture(params=SEEDS)
def match(request: pytest.FixtureRequest) -> Match:
    return played(request.param)


def plain(match: Match, *kinds: Ask) -> list[MatchQuestion]:
    found = [each for each in match.questions if each.asked.kind in kinds and not each.asked.is_claim]
    assert found or len(kinds) == 1
    return found


def words(score: Sequence[int]) -> str:
    return f"{NUMBERS[score[0]]} {NUMBERS[score[1]]}"


def test_scores_are_those_of_the_second(match: Match) -> None:
    for each in plain(match, Ask.SCORE, Ask.LEADER, Ask.GOALS):
        score = match.seconds[each.second].score
        ahead = "level" if score[0] == score[1] else match.team(match.setup.names[score[1] > score[0]])
        goals = {NUMBERS[score[k]] for k in range(2) if match.team(match.setup.names[k]) in each.asked.text}
        right = {Ask.SCORE: {words(score)}, Ask.LEADER: {ahead}, Ask.GOALS: goals}[each.asked.kind]
        assert {each.asked.answer} == right


def test_last_events_are_found_by_counting(match: Match) -> None:
    for each in plain(match, Ask.SCORER, Ask.FREE_KICK):
        kind = Kind.GOAL if each.asked.kind is Ask.SCORER else Kind.FREE_KICK
        found = match.lines(each, kind)
        assert each.asked.answer == (match.team(found[-1].spoken.team) if found else "nobody")
        assert (ALL in each.asked.needs[0]) == (not found)
    for each in plain(match, Ask.CARD):
        cards = match.lines(each, Kind.CARD)
        assert each.asked.answer == (match.team(cards[-1].spoken.team) if cards else "nobody")
    for each in plain(match, Ask.PAST_FOUL):
        fouls = match.lines(each, Kind.FOUL)
        had = match.lines(each, Kind.FREE_KICK)
        assert each.asked.answer == (match.other(fouls[-2].spoken.team) if len(had) > 1 else "nobody")


def test_what_is_seen(match: Match) -> None:
    for each in plain(match, Ask.BALL):
        holder = match.seconds[each.second].possession
        assert each.asked.answer == (match.team(holder) if holder else "nobody")
    for each in plain(match, Ask.EVENT):
        last = [record.line for record in match.seconds[: each.second + 1] if record.line][-1]
        said, told = parse_line(each.asked.answer)[0], parse_line(last)[0]
        assert (said.kind, said.team) == (told.kind, told.team)


def test_the_ball_is_asked_about_where_a_viewer_at_any_rate_sees_it(match: Match) -> None:
    """At 2, 4, 8 and 24 frames a second, whose last frames of a second lie at different times."""
    timeline = Timeline(match.setup)
    asked = [each for each in match.questions if each.asked.kind in (Ask.BALL, Ask.THIRD)]
    assert len(asked) > 3
    for each in asked:
        scenes = [timeline.scene(each.second + 1 - 1 / fps) for fps in (2, 4, 8, 24)]
        if each.asked.kind is Ask.BALL:
            seen = {None if scene.holder is None else team_of(scene.holder) for scene in scenes}
            (side,) = seen
            wanted = "nobody" if side is None else match.team(match.setup.names[side])
        else:
            (third,) = {min(max(int((scene.ball[0] / WORLD_WIDTH + 0.5) * 3), 0), 2) for scene in scenes}
            wanted = THIRDS[third]
        assert each.asked.is_claim or each.asked.answer == wanted


def test_names_are_those_of_the_opening(match: Match) -> None:
    for each in plain(match, Ask.REFEREE):
        assert each.asked.answer == match.setup.referee
    for each in plain(match, Ask.SIDE):
        kit = next(kit for kit in KITS if kit in each.asked.text.split())
        assert each.asked.answer == match.setup.names[match.setup.kits.index(kit)]


def test_the_score_some_minutes_ago(match: Match) -> None:
    for each in plain(match, Ask.PAST_SCORE):
        count = next(NUMBERS.index(word) for word in each.asked.text.split() if word in NUMBERS)
        around = range(each.second - 60 * count - 14, each.second - 60 * count + 15)
        scores = {match.seconds[second].score for second in around if second >= 0}
        assert {each.asked.answer} == {words(score) for score in scores}


def test_no_wording_gives_its_answer_away() -> None:
    """Of claims that put nothing but a word into a form, each form is sometimes right and sometimes wrong."""
    answers: dict[str, set[str]] = {}
    names = "|".join([*KITS, *NUMBERS, *REFEREES, *TEAMS])
    for seed in range(6):
        address = ArenaAddress(seed=seed, minutes=20)
        setup, dice = draw_setup("soccer", seed), Dice("claims", seed)
        listener = Listener(setup, setup.opening_score)
        for heard in heard_seconds(address):
            listener.hear(heard)
            if heard.second % 2 == 0:
                for kind in Ask:
                    if (asked := listener.ask(kind, dice, is_claim=True)) is not None:
                        form = re.sub(rf"\b({names})\b", "_", asked.text)
                        answers.setdefault(form, set()).add(asked.answer)
    assert {form for form, found in answers.items() if found != {"yes", "no"}} == set()


def told_by(seconds: Sequence[HeardSecond], kept: set[int], now: HeardSecond) -> Iterator[tuple[str, str]]:
    """All plain questions of a second and what is right where the lines of these seconds are kept alone."""
    sides = draw_setup("soccer", 5)
    listener = Listener(sides, (0, 0))
    for each in [*seconds, now]:
        listener.hear(each)
    gone = {each.second for each in seconds if each.kind and each.second not in kept}

    def is_kept(evidence: Evidence) -> bool:
        if evidence.place is EvidencePlace.SINCE:
            return not any(second >= evidence.second for second in gone)
        if evidence.place is EvidencePlace.FRAMES:
            return evidence.second > now.second - 16
        return evidence == OPENING or evidence.second in kept

    for kind in (Ask.SCORE, Ask.LEADER, Ask.SCORER, Ask.FREE_KICK, Ask.PAST_SCORE):
        asked = listener.ask(kind, Dice("told", kind))
        if asked is not None:
            yield asked.text, asked.right(is_kept)


@pytest.mark.parametrize("seed", range(20))
def test_what_shows_the_same_is_answered_alike(seed: int) -> None:
    """Two pasts that differ in what has left alone have one answer to each question."""
    dice = random.Random(seed)
    tail = [HeardSecond(k, Kind.PASS if k % 5 == 0 else None, k // 5 % 2, (0, 0)) for k in range(200, 260)]

    def past(goal_at: int | None, score: tuple[int, int]) -> list[HeardSecond]:
        """Of 200 s; a goal changes the score that is told later."""
        found, now = [], (0, 0)
        for k in range(200):
            kind = Kind.GOAL if k == goal_at else Kind.PASS if k % 7 == 0 else None
            now = score if goal_at is not None and k >= goal_at else now
            found.append(HeardSecond(k, kind, 0, now))
        return found

    goal_at, tells = dice.randrange(30, 190), dice.random() < 0.5
    answers = []
    for seconds in (past(goal_at, (1, 0)), past(dice.randrange(30, 190), (1, 0)), past(None, (0, 0))):
        score = seconds[-1].score
        last = [replace(each, score=score) for each in tail]
        if tells and score == (1, 0):
            last[20] = replace(last[20], kind=Kind.SCORE, side=1)
        answers.append(dict(told_by([*seconds, *last[:-1]], {each.second for each in tail}, last[-1])))
    if not tells:  # all three show the same tail
        for text in answers[0].keys() & answers[2].keys():
            assert answers[0][text] == answers[2][text] == NOT_KNOWN
    for text in answers[0].keys() & answers[1].keys():
        assert answers[0][text] == answers[1][text]


def test_claims_are_true_or_false_by_the_same_truth(match: Match) -> None:
    claims = [each for each in match.questions if each.asked.is_claim]
    assert {each.asked.answer for each in claims} == {"yes", "no"}
    for each in claims:
        said = each.asked.text.split()
        score = match.seconds[each.second].score
        numbers = [word for word in said if word in NUMBERS]
        teams = [word for word in said if word in TEAMS]
        if each.asked.kind is Ask.SCORE:
            assert each.asked.answer == ("yes" if " ".join(numbers) == words(score) else "no")
        if each.asked.kind is Ask.REFEREE:
            named = next(word for word in said if word in REFEREES)
            assert each.asked.answer == ("yes" if named == match.setup.referee else "no")
        if each.asked.kind is Ask.LEADER:
            side = match.setup.names.index(teams[0]) if teams else None
            true = score[0] == score[1] if side is None else score[side] > score[1 - side]
            assert each.asked.answer == ("yes" if true else "no")


def test_evidence_tells_the_answer(match: Match) -> None:
    """Whoever reads a line that is named as evidence finds the answer there."""
    for each in plain(match, Ask.SCORE, Ask.SCORER, Ask.FREE_KICK):
        for evidence in each.asked.needs[0] if each.asked.needs else ():
            if (
                evidence.place is not EvidencePlace.SINCE
                or evidence.second < 0
                or each.second in {e.second for g in each.asked.needs for e in g}
            ):
                continue
            line = match.seconds[evidence.second].line
            assert evidence.second < each.second
            assert each.asked.answer in line


def test_questions_are_the_same_every_time_and_leave_time_between(match: Match) -> None:
    address = ArenaAddress(seed=match.setup.seed, minutes=MINUTES)
    assert list(match_questions(address)) == match.questions
    seconds = [each.second for each in match.questions]
    far = sum(all(abs(second - asked) > 10 for asked in seconds) for second in range(60 * MINUTES))
    assert far > 60 * MINUTES / 2
    assert 1 in {b - a for a, b in pairwise(seconds)}
    assert 60 * MINUTES / len(seconds) == pytest.approx(MEAN_GAP_SECONDS, rel=0.25)


def test_other_questions_have_another_number() -> None:
    """Stored answers are told from those to other questions by it: it goes up where this digest changes."""
    asked = [
        f"{each.second} {each.asked.text} | {each.asked.answer}"
        for seed in SEEDS
        for each in played(seed).questions
    ]
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    assert (QUESTIONS_DRAWN, digest[:16]) == (2, "d618cf23a66a7556")


def test_every_kind_is_asked_in_some_match() -> None:
    kinds = Counter(each.asked.kind for seed in SEEDS for each in played(seed).questions)
    assert set(kinds) == set(Ask)
