"""Whoever follows a match: what could be asked of a second, what is right, and what tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from svlm_cli.arena.asking.asked import (
    ALL,
    OPENING,
    AskedQuestion,
    Evidence,
    EvidencePlace,
    HeardSecond,
    Needs,
    Sides,
)
from svlm_cli.arena.asking.wording import (
    AGO,
    CLAIMS,
    LEVEL,
    LEVEL_CLAIM,
    NO,
    NOBODY,
    NOBODY_CLAIMS,
    QUESTIONS,
    THIRDS,
    YES,
    Ask,
)
from svlm_cli.arena.dice import Dice
from svlm_cli.arena.moments import SILENT_KINDS, Kind
from svlm_cli.arena.narrate import NAMELESS, SpokenEvent, line_of
from svlm_cli.arena.setup import NUMBERS, REFEREES, TEAMS, WINNING_SCORE, score_words

MINUTE_SECONDS = 60
LONGEST_AGO = 10  # minutes
# The score must have stood so long, in seconds and as a share of the time asked for, before and behind it.
LEAST_MARGIN_SECONDS, MARGIN_SHARE = 15, 0.15
NAMES_REMEMBERED = 64  # lines that tie a name to its colour; older ones are seldom all that is left
_CAUSES = {Kind.GOAL: Kind.SHOT, Kind.FREE_KICK: Kind.FOUL}  # where the side is seen


@dataclass(frozen=True, slots=True)
class _Fact:
    """What is right.

    Args:
        answer: the answer to the question.
        others: false claims.
        needs: see ``AskedQuestion``.
        fill: what stands in the wordings besides what is claimed.
        claim: the true claim, None for the answer.
    """

    answer: str
    others: Sequence[str]
    needs: Needs
    fill: dict[str, str] = field(default_factory=dict)
    claim: str | None = None


@dataclass(slots=True)
class _Reign:
    """A score: from when it holds and when it was said; -1 is the opening."""

    score: tuple[int, int]
    since: int
    said: list[int]


class Listener:
    """Follows a stream from its opening on.

    Args:
        sides: who plays.
        score: told by the opening.
        first_second: number of the first second that will be heard.
    """

    def __init__(self, sides: Sides, score: tuple[int, int], first_second: int = 0) -> None:
        self._sides = sides
        self._first = first_second
        self._now: HeardSecond | None = None
        self._reigns = [_Reign(score, -1, [-1])]
        self._spoken: list[HeardSecond] = []
        self._last: dict[Kind, list[HeardSecond]] = {}
        self._facts: dict[Ask, Callable[[Dice], _Fact | None]] = {
            Ask.SCORE: self._score,
            Ask.LEADER: self._leader,
            Ask.GOALS: self._goals,
            Ask.BALL: self._ball,
            Ask.EVENT: self._event,
            Ask.THIRD: self._third,
            Ask.SCORER: self._scorer,
            Ask.FREE_KICK: lambda _: self._of_last(Kind.FREE_KICK),
            Ask.CARD: self._card,
            Ask.REFEREE: self._referee,
            Ask.SIDE: self._side,
            Ask.PAST_SCORE: self._past_score,
            Ask.PAST_FOUL: self._past_foul,
        }

    def hear(self, heard: HeardSecond) -> None:
        """The next second."""
        self._now = heard
        reign = self._reigns[-1]
        changed = heard.score != reign.score
        if changed:
            reign = _Reign(heard.score, heard.second, [])
            self._reigns.append(reign)
        if heard.kind in (Kind.GOAL, Kind.SCORE) or (heard.kind is Kind.KICK_OFF and changed):
            reign.said.append(heard.second)
        if heard.kind is not None:
            self._spoken.append(heard)
            self._last.setdefault(heard.kind, []).append(heard)

    def ask(self, kind: Ask, dice: Dice, *, is_claim: bool = False) -> AskedQuestion | None:
        """A question of this kind; None where it has no clear answer in this second.

        Args:
            kind: what is asked for.
            dice: chooses the wording, and what is claimed.
            is_claim: whether it is to be answered by yes or no.

        Raises:
            ValueError: nothing has been heard.
        """
        if self._now is None:
            raise ValueError("nothing has been heard that could be asked about")
        fact = self._facts[kind](dice)
        if fact is None:
            return None
        if not is_claim:
            text = dice.pick(QUESTIONS[kind]).format(**fact.fill)
            return AskedQuestion(kind, False, text, fact.answer, fact.needs)
        true = fact.claim or fact.answer
        claimed = true if dice.chance(0.5) else dice.pick(fact.others)
        text = self._claim(kind, claimed, fact, dice)
        return AskedQuestion(kind, True, text, YES if claimed == true else NO, fact.needs)

    def _claim(self, kind: Ask, claimed: str, fact: _Fact, dice: Dice) -> str:
        if claimed == NOBODY:
            return NOBODY_CLAIMS[kind]
        if claimed == LEVEL:
            return LEVEL_CLAIM
        claims = dict.fromkeys(("team", "name", "score", "event", "place", "count"), claimed)
        return dice.pick(CLAIMS[kind]).format(**(claims | fact.fill))

    def _here(self) -> HeardSecond:
        assert self._now is not None
        return self._now

    def _frames(self, second: int | None = None) -> Evidence:
        return Evidence(EvidencePlace.FRAMES, self._here().second if second is None else second)

    def _team(self, side: int) -> str:
        return f"{self._sides.kits[side]} {self._sides.names[side]}"

    def _teams(self, *others: str) -> tuple[str, ...]:
        return (self._team(0), self._team(1), *others)

    def _name_told(self, side: int) -> frozenset[Evidence]:
        """What ties the name of a side to its colour."""
        now = self._here().second
        lines = (
            Evidence(EvidencePlace.WORDS, each.second)
            for each in self._spoken[-NAMES_REMEMBERED:]
            if each.side == side and each.kind not in NAMELESS and each.second < now
        )
        return frozenset([OPENING, *lines])

    def _score_told(self) -> Needs:
        """What tells the score: its last telling, and where it has just changed what shows the change."""
        now, reign = self._here(), self._reigns[-1]
        if reign.since != now.second:
            return (_since(second for second in reign.said if second < now.second),)
        change = (frozenset([self._frames()]), *(self._cause(Kind.GOAL) if now.kind is Kind.GOAL else ()))
        return (_since(self._reigns[-2].said), *change)

    def _score(self, dice: Dice) -> _Fact:
        score = self._here().score
        return _Fact(_score_text(score), _other_scores(score, dice), self._score_told())

    def _leader(self, _dice: Dice) -> _Fact:
        score = self._here().score
        ahead = LEVEL if score[0] == score[1] else self._team(int(score[1] > score[0]))
        return _Fact(ahead, _without(self._teams(LEVEL), ahead), (*self._score_told(), *self._who(ahead)))

    def _goals(self, dice: Dice) -> _Fact:
        side = dice.below(2)
        count = NUMBERS[self._here().score[side]]
        near = [number for number in NUMBERS if number != count]
        needs = (*self._score_told(), self._name_told(side))
        return _Fact(count, near, needs, fill={"team": self._team(side)})

    def _who(self, answer: str) -> Needs:
        """What is needed to call a side by its name; nothing for other answers."""
        return tuple(self._name_told(side) for side in range(2) if answer == self._team(side))

    def _ball(self, _dice: Dice) -> _Fact | None:
        if not self._here().shows_holder:
            return None
        holder = self._here().holder
        answer = NOBODY if holder is None else self._team(holder)
        needs = (frozenset([self._frames()]), *self._who(answer))
        return _Fact(answer, _without(self._teams(NOBODY), answer), needs)

    def _event(self, _dice: Dice) -> _Fact | None:
        if not self._spoken:
            return None
        last = self._spoken[-1]
        assert last.kind is not None
        side = None if last.kind in NAMELESS else last.side
        kit, name = (None, None) if side is None else (self._sides.kits[side], self._sides.names[side])
        needs: Needs = (_since([last.second]) | {self._frames(last.second)},)
        if side is not None and last.second == self._here().second:
            needs += (*self._cause(last.kind), self._name_told(side))
        true = line_of(SpokenEvent(last.kind))
        others = _without([line_of(SpokenEvent(kind)) for kind in _ASKED_KINDS], true)
        return _Fact(line_of(SpokenEvent(last.kind, name, kit)), others, needs, claim=true)

    def _third(self, _dice: Dice) -> _Fact | None:
        third = self._here().third
        if third is None:
            return None
        return _Fact(THIRDS[third], _without(THIRDS, THIRDS[third]), (frozenset([self._frames()]),))

    def _scorer(self, _dice: Dice) -> _Fact | None:
        """Nobody is known of where the opening tells of goals and not of whose they were."""
        is_open = not self._last.get(Kind.GOAL) and self._reigns[0].score != (0, 0)
        return None if is_open else self._of_last(Kind.GOAL)

    def _of_last(self, kind: Kind) -> _Fact:
        """Whose the last event of a kind was whose line names its side."""
        found = self._last.get(kind)
        if not found:
            return _Fact(NOBODY, self._teams(), (frozenset([ALL]),))
        last = found[-1]
        assert last.side is not None
        answer = self._team(last.side)
        others = _without(self._teams(NOBODY), answer)
        if last.second < self._here().second:
            return _Fact(answer, others, (_since([last.second]),))
        return _Fact(answer, others, (*self._cause(kind), *self._who(answer)))

    def _cause(self, kind: Kind) -> Needs:
        """What shows the side of an event that has not been spoken of yet, where its own frames do not."""
        if kind not in _CAUSES:
            return ()
        before = self._last.get(_CAUSES[kind], [])[-1:]
        said = [Evidence(EvidencePlace.WORDS, each.second) for each in before if each.kind not in NAMELESS]
        return (frozenset([*(self._frames(each.second) for each in before), *said]),)

    def _card(self, _dice: Dice) -> _Fact | None:
        """The side that was booked is the one that did not get the free kick behind the card."""
        cards, kicks = self._last.get(Kind.CARD), self._last.get(Kind.FREE_KICK, [])
        if not cards:
            return _Fact(NOBODY, self._teams(), (frozenset([ALL]),))
        card = cards[-1]
        kick = next((each for each in kicks if each.second > card.second), None)
        if kick is None or kick.second == self._here().second or kick.side is None:
            return None
        answer = self._team(1 - kick.side)
        others = _without(self._teams(NOBODY), answer)
        return _Fact(answer, others, (_since([card.second]), *self._who(answer)))

    def _referee(self, dice: Dice) -> _Fact:
        now = self._here().second
        cards = (
            Evidence(EvidencePlace.WORDS, each.second)
            for each in self._last.get(Kind.CARD, [])
            if each.second < now
        )
        other = [dice.pick(_without(REFEREES, self._sides.referee))]
        return _Fact(self._sides.referee, other, (frozenset([OPENING, *cards]),))

    def _side(self, dice: Dice) -> _Fact:
        side = dice.below(2)
        name, kit = self._sides.names[side], self._sides.kits[side]
        others = [self._sides.names[1 - side], dice.pick(_without(TEAMS, name))]
        return _Fact(name, others, (self._name_told(side),), fill={"kit": kit})

    def _past_score(self, dice: Dice) -> _Fact | None:
        now = self._here().second
        most = min(LONGEST_AGO, (now - self._first) // MINUTE_SECONDS)
        if most < 1:
            return None
        count = 1 + dice.below(most)
        ago = count * MINUTE_SECONDS
        margin = max(LEAST_MARGIN_SECONDS, MARGIN_SHARE * ago)
        number = max(k for k, reign in enumerate(self._reigns) if reign.since <= now - ago)
        reign = self._reigns[number]
        end = self._reigns[number + 1].since if number + 1 < len(self._reigns) else None
        is_old = reign.since < 0 or reign.since <= now - ago - margin
        if not is_old or (end is not None and end < now - ago + margin):
            return None
        told = _since(min(second, now - ago) for second in reign.said if second < now)
        fill = {"ago": f"{NUMBERS[count]} {AGO[count > 1]}"}
        return _Fact(_score_text(reign.score), _other_scores(reign.score, dice), (told,), fill=fill)

    def _past_foul(self, _dice: Dice) -> _Fact | None:
        """Whose a foul was is told by the free kick behind it: the other side's."""
        kicks, fouls = self._last.get(Kind.FREE_KICK, []), self._last.get(Kind.FOUL, [])
        if not kicks or kicks[-1].second == self._here().second:
            return None
        if fouls and fouls[-1].second > kicks[-1].second:
            return None  # its free kick is still to come
        if len(kicks) == 1:
            return _Fact(NOBODY, self._teams(), (frozenset([ALL]),))
        assert kicks[-2].side is not None
        answer = self._team(1 - kicks[-2].side)
        others = _without(self._teams(NOBODY), answer)
        return _Fact(answer, others, (_since([kicks[-2].second]), *self._who(answer)))


_ASKED_KINDS = tuple(kind for kind in Kind if kind not in SILENT_KINDS)


def _since(seconds: Iterable[int]) -> frozenset[Evidence]:
    """Any of these lines, with all that was said behind it."""
    return frozenset(Evidence(EvidencePlace.SINCE, second) for second in seconds)


def _without(options: Sequence[str], one: str) -> list[str]:
    return [option for option in options if option != one]


def _score_text(score: tuple[int, int]) -> str:
    return " ".join(score_words(score))


def _other_scores(score: tuple[int, int], dice: Dice) -> list[str]:
    """Scores near this one, and the same turned round."""
    others = {(score[1], score[0]), (dice.below(WINNING_SCORE), dice.below(WINNING_SCORE))}
    for side in range(2):
        for step in (-1, 1):
            near = [*score]
            near[side] += step
            if 0 <= near[side] <= WINNING_SCORE:
                others.add((near[0], near[1]))
    return [_score_text(each) for each in sorted(others - {score})]
