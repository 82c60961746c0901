"""A judge compares two texts, twice, with the two in either order; every vote is stored once.

A judge that favours a place, whatever stands there, so gives both the same number of votes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.bench.events import WorkEvent
from svlm_cli.bench.pool import Work
from svlm_cli.bench.prices import Plan, Price, text_tokens
from svlm_cli.bench.reading import TIE
from svlm_cli.bench.records import Record, RecordFile
from svlm_cli.data.chat import Chat, NoReplyError, Reply, public_address
from svlm_cli.errors import SourceError, UsageError

VOTES_NAME = "votes.jsonl"
ORDERS = ("ab", "ba")
TRIES = 3
MOST_REFERENCE_LETTERS = 8000
TOKENS_OF_MESSAGE = 8
NOTHING_SAID = "(nothing was said)"
_PLACES = re.compile(r"\{(title|reference|a|b)\}")


@dataclass(frozen=True, slots=True)
class Contest:
    """Two texts about the same stretch of a video.

    Args:
        id: of the stretch.
        a, b: what the two said.
        reference: what a person said.
        title: of the video.
        video: draws of the interval take all stretches of a video together.
        labels: what tables are made by, e.g. ``{"sport": "soccer"}``.
    """

    id: str
    a: str
    b: str
    reference: str
    title: str
    video: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a judge is asked and how its reply is read.

    Args:
        name: as tables show it, with the wording.
        template: one user message, with ``{title}``, ``{reference}``, ``{a}``, ``{b}``.
        read: from a reply to ``first``, ``second``, ``tie``, or None where it cannot be read.
        request: further fields of the request.
        expected_tokens: of a reply, for the estimate; a model that thinks first needs more than it says.
    """

    name: str
    template: str
    read: Callable[[str], str | None]
    request: Mapping[str, Any]
    expected_tokens: int

    def messages(self, contest: Contest, order: str) -> list[dict[str, Any]]:
        """The question in one order: under ``ba`` the second text stands first."""
        first, second = (contest.a, contest.b) if order == "ab" else (contest.b, contest.a)
        words = {
            "title": contest.title,
            "reference": contest.reference[:MOST_REFERENCE_LETTERS],
            "a": first or NOTHING_SAID,
            "b": second or NOTHING_SAID,
        }
        return [
            {"role": "user", "content": _PLACES.sub(lambda found: words[found[1]], self.template)},
        ]


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Who judges.

    Args:
        model: its name at the address.
        base_url: of the address; None for OpenAI's own.
        workers: questions at once.
    """

    model: str
    base_url: str | None = None
    workers: int = 8


@dataclass(frozen=True, slots=True)
class Vote:
    """What a judge said once.

    Args:
        id: of the contest.
        order: ``ab`` or ``ba``.
        winner: a name, or ``tie``.
    """

    id: str
    order: str
    winner: str


@dataclass(frozen=True, slots=True)
class _Ballot:
    """A vote to be had."""

    contest: Contest
    order: str
    question: str


class Judging:
    """All votes on some contests.

    Args:
        contests: with ids of their own.
        names: of the two, different.
        rules: of the judge.
        options: who it is.
        folder: for ``votes.jsonl``.

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
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def plan(self, price: Price | None) -> Plan:
        """What is left to ask; nothing is sent and nothing written."""
        left = self._work().left()
        prompt = sum(
            text_tokens(self.rules.messages(each.contest, each.order)[0]["content"]) + TOKENS_OF_MESSAGE
            for each in left
        )
        completion = self.rules.expected_tokens * len(left)
        return Plan(
            self.options.model,
            public_address(self.options.base_url),
            len(left),
            len(self._ballots) - len(left),
            prompt,
            completion,
            None if price is None else price.of(prompt, completion),
        )

    def run(self) -> Generator[WorkEvent, None, None]:
        """Ask for every vote that is not stored.

        Raises:
            NoReplyError: the judge cannot be reached; votes so far are kept.
            OutputError: the folder cannot be used.
        """
        own = self.options
        yield from self._work().run(own.model, own.base_url, own.workers)

    def _work(self) -> Work[_Ballot, tuple[Reply, str]]:
        return Work(
            f"judge {self.options.model}",
            "votes",
            self.path,
            _key,
            {self._key(ballot): ballot for ballot in self._ballots},
            self._ask,
            lambda ballot, answer: self._record(ballot, *answer),
            lambda ballot: f"{ballot.contest.id} ({ballot.order})",
        )

    def votes(self) -> tuple[list[Vote], tuple[int, int]]:
        """The stored votes on these contests, each once, and their tokens in and out."""
        with RecordFile(self.path, _key) as stored:
            records = [found for each in self._ballots if (found := stored.get(self._key(each))) is not None]
        tokens_in = sum(record.get("prompt_tokens") or 0 for record in records)
        tokens_out = sum(record.get("completion_tokens") or 0 for record in records)
        said = [Vote(record["id"], record["order"], record["winner"]) for record in records]
        return said, (tokens_in, tokens_out)

    @property
    def num_votes(self) -> int:
        """How many there will be."""
        return len(self._ballots)

    @staticmethod
    def _key(ballot: _Ballot) -> tuple[str, str, str]:
        return ballot.contest.id, ballot.order, ballot.question

    def _ask(self, chat: Chat, ballot: _Ballot) -> tuple[Reply, str]:
        """Ask until the reply can be read, ``TRIES`` times at most."""
        messages = self.rules.messages(ballot.contest, ballot.order)
        problem = NoReplyError("")
        for _ in range(TRIES):
            try:
                reply = chat.ask(messages, **self.rules.request)
            except NoReplyError as error:
                if not error.is_unusable:
                    raise
                problem = error
                continue
            choice = self.rules.read(reply.text)
            if choice is not None:
                return reply, choice
            problem = NoReplyError(
                f"the judge's reply names no winner: {' '.join(reply.text.split())[:80]!r}"
            )
        raise problem

    def _record(self, ballot: _Ballot, reply: Reply, choice: str) -> Record:
        first, second = self.names if ballot.order == "ab" else self.names[::-1]
        return {
            "id": ballot.contest.id,
            "order": ballot.order,
            "winner": {"first": first, "second": second}.get(choice, TIE),
            "first": first,
            "second": second,
            "judge": self.options.model,
            "reply": reply.text,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "question": ballot.question,
        }


def load_template(path: Path) -> str:
    """A judge's prompt of the user's own: text with ``{reference}``, ``{a}``, ``{b}``, maybe ``{title}``.

    Raises:
        SourceError: it cannot be read.
        UsageError: it lacks a place.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path}: {error}", "give a UTF-8 text file") from error
    missing = [f"{{{name}}}" for name in ("reference", "a", "b") if f"{{{name}}}" not in text]
    if missing:
        raise UsageError(f"{path} lacks {', '.join(missing)}", "these are where the texts go")
    return text


def digest_of(text: str) -> str:
    """Eight digits that tell one wording from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _key(record: Record) -> tuple[str, str, str]:
    if record["order"] not in ORDERS or not all(isinstance(record[name], str) for name in ("id", "winner")):
        raise ValueError("not a vote")
    return record["id"], record["order"], str(record["question"])
