"""From votes to win rates: whose votes, of how many, how sure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.bench.common.events import capped
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio
from svlm_cli.bench.common.records import read_lines
from svlm_cli.bench.common.results import RunFacts
from svlm_cli.bench.judge.contests import Contest
from svlm_cli.bench.judge.judge import ORDERS, Judging, Vote
from svlm_cli.bench.judge.reading import TIE
from svlm_cli.errors import SourceError


@dataclass(frozen=True, slots=True)
class Judged:
    """A row's part that the judge decides.

    Args:
        facts, scores, more: the fields of the ``Row`` by these names.
        notes: the notes of the report.
    """

    facts: Mapping[str, str]
    scores: Mapping[str, Estimate]
    more: Mapping[str, object]
    notes: Sequence[str]


def win_rate(votes: Sequence[Vote], name: str, group_of: Callable[[Vote], str]) -> Estimate:
    """Votes for ``name`` of all votes; a tie is a vote for nobody.

    Args:
        votes: each once.
        name: whose.
        group_of: the interval draws groups whole, because votes on one video hang together.
    """
    groups: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        groups[group_of(vote)].append(vote)
    ratios = [Ratio(sum(vote.winner == name for vote in group), len(group)) for group in groups.values()]
    return Bootstrap(max(1, len(ratios))).estimate(ratios or [Ratio()])


def win_rates(votes: Sequence[Vote], name: str, contests: Sequence[Contest]) -> dict[str, Estimate]:
    """Over all, and by every value of every label: ``win_rate``, ``win_rate_sport_soccer``, ..."""
    known: Mapping[str, Contest] = {contest.id: contest for contest in contests}

    def rate(chosen: Sequence[Vote]) -> Estimate:
        return win_rate(chosen, name, lambda vote: known[vote.id].video)

    rates = {"win_rate": rate(votes)}
    labels = dict.fromkeys(label for contest in contests for label in contest.labels)
    for label in labels:
        values = sorted({contest.labels[label] for contest in contests if label in contest.labels})
        for value in values:
            chosen = [vote for vote in votes if known[vote.id].labels.get(label) == value]
            rates[f"win_rate_{label}_{value}"] = rate(chosen)
    return rates


def first_place_share(votes: Sequence[Vote], names: tuple[str, str]) -> float | None:
    """Share of the votes for whatever stood first, in percent: 50 where the judge does not mind the order."""
    decided = [vote for vote in votes if vote.winner in names]
    firsts = [names[0] if vote.order == "ab" else names[1] for vote in decided]
    wins = sum(vote.winner == first for vote, first in zip(decided, firsts, strict=True))
    return Ratio(wins, len(decided)).percent


def judged(judging: Judging, rival: RunFacts) -> Judged:
    """What every row of judged contests says beside its own facts.

    Args:
        rival: its facts, as the file of its predictions tells them.
    """
    outcome = judging.outcome()
    share = first_place_share(outcome.votes, judging.names)
    price = "price unknown" if outcome.dollars is None else f"${outcome.dollars:.2f}"
    facts = {
        "rival": judging.names[1],
        "rival's setup": ", ".join(f"{name} {value}" for name, value in rival.to_json().items()) or "a file",
        "judge": f"{judging.options.model}, {judging.rules.name}",
        "votes": f"{len(outcome.votes)} of {judging.num_votes}",
        "ties": str(outcome.num_ties),
        "unread replies": str(outcome.num_unread),
        "votes for the first place": "–" if share is None else f"{share:.1f} %",
        "judge's tokens": f"{outcome.prompt_tokens:,} in, {outcome.completion_tokens:,} out, {price}",
    }
    more = {
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "dollars": None if outcome.dollars is None else round(outcome.dollars, 4),
        "seed": judging.rules.request.get("seed"),
    }
    notes = []
    if outcome.left_out:
        notes.append(
            f"**{judging.names[0]}**: {len(outcome.left_out)} of {len(judging.contests)} contests are left "
            "out, because they lack a vote in one order or both; the same command asks again: "
            f"{capped(list(outcome.left_out))}."
        )
    if outcome.num_unread:
        notes.append(
            f"**{judging.names[0]}**: {outcome.num_unread} replies of the judge named no winner and were "
            "asked for again; they are in unread.jsonl."
        )
    if outcome.num_letters:
        notes.append(
            f"**{judging.names[0]}**: {outcome.num_letters} of {outcome.num_ties} ties are replies that name "
            "a winner, but not in the words that this protocol reads; a tie counts against both."
        )
    return Judged(facts, win_rates(outcome.votes, judging.names[0], judging.contests), more, notes)


@dataclass(frozen=True, slots=True)
class Stored:
    """Votes of a file.

    Args:
        votes: the newest of every contest and order.
        names: the names of those who were compared, as the lines tell; of LiveCC's form those who won a vote.
        problems: a sentence about lines that were there twice.
    """

    votes: Sequence[Vote]
    names: Sequence[str]
    problems: Sequence[str]


_NOBODY = frozenset({"", "tie", "draw", "none", "neither", "both", "equal", "null", "n/a", "unknown"})


def _winner(told: object) -> object:
    """Who a stored vote is for; an empty one, or one for nobody, is a tie."""
    is_nobody = told is None or (isinstance(told, str) and told.strip().lower() in _NOBODY)
    return TIE if is_nobody else told


def load_votes(path: Path) -> Stored:
    """Read a file of votes: ours, or LiveCC's ``{"video_event_id", "ab_winner", "ba_winner"}``.

    Raises:
        SourceError: it cannot be read, a line is of neither form, or no vote names anybody.
    """
    votes: dict[tuple[str, str], Vote] = {}
    names: set[str] = set()
    num_twice = 0
    for number, record in enumerate(read_lines(path, "votes"), start=1):
        name = record.get("video_event_id", record.get("id"))
        if any(f"{order}_winner" in record for order in ORDERS):
            found = [(order, _winner(record.get(f"{order}_winner", 0))) for order in ORDERS]
        else:
            found = [(str(record.get("order")), _winner(record.get("winner", 0)))]
            names |= {side for place in ("first", "second") if isinstance(side := record.get(place), str)}
        for order, winner in found:
            if not isinstance(winner, str) or order not in ORDERS or not isinstance(name, str | int):
                raise SourceError(
                    f"line {number} of {path} is no vote", "give votes.jsonl, or a judge file of LiveCC"
                )
            num_twice += (str(name), order) in votes
            votes[str(name), order] = Vote(str(name), order, winner)
    names |= {vote.winner for vote in votes.values()} - {TIE}
    if not names:
        raise SourceError(f"no vote of {path} names anybody", "is it a file of ties alone?")
    problems = [f"{num_twice} votes of {path.name} are there twice: the newest counts"] if num_twice else []
    return Stored(list(votes.values()), sorted(names), problems)
