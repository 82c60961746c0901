"""A judge compares two texts, twice, with the two in either order; every vote is stored once.

A judge that favours a place, whatever stands there, so gives both the same number of votes; for that a
contest counts only when both its votes are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.bench.api.pool import Work
from svlm_cli.bench.api.prices import CallPlan, Price, price_of, text_tokens
from svlm_cli.bench.common.events import WorkEvent
from svlm_cli.bench.common.records import Record, RecordFile, append_record, read_whole_lines
from svlm_cli.bench.judge.contests import Contest, Rules
from svlm_cli.bench.judge.reading import TIE, read_letter
from svlm_cli.chat import Chat, NoReplyError, Reply, public_address
from svlm_cli.digest import digest
from svlm_cli.errors import UsageError

VOTES_NAME = "votes.jsonl"
UNREAD_NAME = "unread.jsonl"
ORDERS = ("ab", "ba")
TRIES = 3
TOKENS_OF_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Who judges.

    Args:
        model: its name at the address.
        base_url: the URL of the address; None for OpenAI's own.
        workers: questions at once.
        price: dollars per million tokens in and out; None for the list price, if it is known.
    """

    model: str
    base_url: str | None = None
    workers: int = 8
    price: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """What a judge said once.

    Args:
        id: the id of the contest.
        order: ``ab`` or ``ba``.
        winner: a name, or ``tie``.
    """

    id: str
    order: str
    winner: str


@dataclass(frozen=True, slots=True)
class JudgeOutcome:
    """What was voted on some contests, and what it took.

    Args:
        votes: the votes of the contests with both orders.
        left_out: contests that lack a vote, by id.
        prompt_tokens, completion_tokens: sums over every reply, unreadable ones included.
        dollars: their price; None where it is not known.
        num_unread: replies that no winner could be read from, each asked for again.
        num_ties: votes for nobody.
        num_letters: how many of those are sure of a letter, in a form that the rules do not read.
    """

    votes: Sequence[Vote]
    left_out: Sequence[str]
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None
    num_unread: int
    num_ties: int
    num_letters: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A reply that was read."""

    reply: Reply
    choice: str


@dataclass(frozen=True, slots=True)
class _Ballot:
    """A vote to be had."""

    contest: Contest
    order: str
    question: str


class Judging:
    """All votes on some contests.

    Args:
        contests: contests with ids of their own.
        names: the names of the two, different.
        rules: the rules of the judge.
        options: who it is.
        folder: the folder of ``votes.jsonl``.

    Raises:
        UsageError: the names are the same.
    """

    def __init__(
        self,
        contests: Sequence[Contest],
        names: tuple[str, str],
        rules: Rules,
        options: JudgeOptions,
        folder: Path,
    ) -> None:
        if names[0] == names[1] or TIE in names:
            raise UsageError(f"the two to compare need names of their own, not {names[0]!r} and {names[1]!r}")
        self.contests = contests
        self.names = names
        self.rules = rules
        self.options = options
        self.path = folder / VOTES_NAME
        self._ballots = [
            _Ballot(contest, order, self._question(contest, order))
            for contest in contests
            for order in ORDERS
        ]

    def _question(self, contest: Contest, order: str) -> str:
        """A digest of all that decides a vote: one on other words is never taken for this one."""
        asked = [
            self.options.model,
            public_address(self.options.base_url),
            dict(self.rules.request),
            self.rules.messages(contest, order),
            self.names,
        ]
        return digest(asked)

    def plan(self) -> CallPlan:
        """What is left to ask; nothing is sent and nothing written."""
        price = self._price
        left = self._work().left()
        prompt = sum(
            text_tokens(self.rules.messages(each.contest, each.order)[0]["content"]) + TOKENS_OF_MESSAGE
            for each in left
        )
        completion = self.rules.expected_tokens * len(left)
        return CallPlan(
            self.options.model,
            public_address(self.options.base_url),
            len(left),
            len(self._ballots) - len(left),
            prompt,
            completion,
            None if price is None else price.of(prompt, completion),
        )

    @property
    def _price(self) -> Price | None:
        return price_of(self.options.model, self.options.price)

    def run(self) -> Generator[WorkEvent, None, None]:
        """Ask for every vote that is not stored.

        Raises:
            NoReplyError: the judge cannot be reached; votes so far are kept.
            OutputError: the folder cannot be used.
        """
        own = self.options
        yield from self._work().run(own.model, own.base_url, own.workers)

    def _work(self) -> Work[_Ballot, _Chosen]:
        return Work(
            f"judge {self.options.model}",
            "votes",
            self.path,
            _key,
            {self._key(ballot): ballot for ballot in self._ballots},
            self._ask,
            self._record,
            lambda ballot: f"{ballot.contest.id} ({ballot.order})",
        )

    def outcome(self) -> JudgeOutcome:
        """What the stored votes on these contests say, each counted once."""
        with RecordFile(self.path, _key) as stored:
            records = [found for each in self._ballots if (found := stored.get(self._key(each))) is not None]
        said = [Vote(record["id"], record["order"], record["winner"]) for record in records]
        numbers = Counter(vote.id for vote in said)
        whole = [vote for vote in said if numbers[vote.id] == len(ORDERS)]
        left_out = [each.id for each in self.contests if numbers[each.id] < len(ORDERS)]
        asked = {ballot.question for ballot in self._ballots}
        unread = [each for each in self._unread() if each.get("question") in asked]
        ties = [record for record in records if record["winner"] == TIE]
        num_letters = sum(read_letter(str(record.get("reply"))) is not None for record in ties)
        paid = [*records, *unread]
        tokens_in, tokens_out = (
            sum(value for each in paid if isinstance(value := each.get(name), int))
            for name in ("prompt_tokens", "completion_tokens")
        )
        price = self._price
        dollars = None if price is None else price.of(tokens_in, tokens_out)
        return JudgeOutcome(
            whole, left_out, tokens_in, tokens_out, dollars, len(unread), len(ties), num_letters
        )

    def _unread(self) -> list[dict[str, Any]]:
        path = self.path.with_name(UNREAD_NAME)
        return read_whole_lines(path) if path.exists() else []

    @property
    def num_votes(self) -> int:
        """How many there will be."""
        return len(self._ballots)

    @staticmethod
    def _key(ballot: _Ballot) -> tuple[str, str, str]:
        return ballot.contest.id, ballot.order, ballot.question

    def _ask(self, chat: Chat, ballot: _Ballot) -> _Chosen:
        """Ask until the reply can be read, ``TRIES`` times at most; replies that cannot be are kept aside."""
        messages = self.rules.messages(ballot.contest, ballot.order)
        came: list[Reply] = []
        problem = NoReplyError("")
        try:
            for _ in range(TRIES):
                try:
                    reply = chat.ask(messages, **self.rules.request)
                except NoReplyError as error:
                    if not error.is_unusable:
                        raise
                    problem = error
                    if error.empty is None:
                        continue
                    reply = error.empty
                else:
                    told = " ".join(reply.text.split())[:80]
                    problem = NoReplyError(f"the judge's reply names no winner: {told!r}")
                choice = self.rules.read(reply.text)
                if choice is not None:
                    return _Chosen(reply, choice)
                came.append(reply)
        finally:
            for each in came:
                self._keep_unread(ballot, each)
        raise problem

    def _keep_unread(self, ballot: _Ballot, reply: Reply) -> None:
        append_record(
            self.path.with_name(UNREAD_NAME),
            {
                "id": ballot.contest.id,
                "order": ballot.order,
                "judge": self.options.model,
                **_paid(reply),
                "question": ballot.question,
            },
        )

    def _record(self, ballot: _Ballot, answer: _Chosen) -> Record:
        first, second = self.names if ballot.order == "ab" else self.names[::-1]
        return {
            "id": ballot.contest.id,
            "order": ballot.order,
            "winner": {"first": first, "second": second}.get(answer.choice, TIE),
            "first": first,
            "second": second,
            "judge": self.options.model,
            **_paid(answer.reply),
            "question": ballot.question,
        }


def _paid(reply: Reply) -> Record:
    return {
        "reply": reply.text,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
    }


def _key(record: Record) -> tuple[str, str, str]:
    if record["order"] not in ORDERS or not all(isinstance(record[name], str) for name in ("id", "winner")):
        raise ValueError("not a vote")
    return record["id"], record["order"], str(record["question"])
