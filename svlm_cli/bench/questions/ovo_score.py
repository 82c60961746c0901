"""Scoring OVO-Bench: the official rules, strict extraction beside them, and the rule of logits.

Pure functions of stored results. Accuracy of a task is the share of its queries, of a group the mean of its
tasks, the total the mean of the three groups (utils/OVOBenchScore.py of OVO-Bench).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from svlm_cli.bench.common.events import capped, numbered
from svlm_cli.bench.common.intervals import Ratio
from svlm_cli.bench.common.letters import anywhere, sure_letter
from svlm_cli.bench.common.records import put_once, read_json
from svlm_cli.bench.questions.ovo import GROUP_OF, GROUPS, forward_truth
from svlm_cli.errors import SourceError

_YES_NO = re.compile(r"\W*(yes|no)\b", re.I)
_ANY_YES_NO = re.compile(r"\b(yes|no)\b(?=\W*$|\s*[.,;:!)])", re.I)
_HINT = "give result files of OVO-Bench, or a folder that svlm bench ovo generate has filled"


@dataclass(frozen=True, slots=True)
class Answered:
    """A query with its answer.

    Args:
        name: the name of the query, for people.
        task: its task.
        truth: the right answer.
        response: what came back; anything but text is wrong, and counted.
        shares_id: whether its id stands for another question too.
    """

    name: str
    task: str
    truth: str
    response: object
    shares_id: bool = False

    @property
    def problem(self) -> str:
        """What is wrong with the response; empty where it is text."""
        if isinstance(self.response, str):
            return ""
        if self.response is None or self.response is MISSING:
            return "missing" if self.response is MISSING else "None"
        return f"of type {type(self.response).__name__}, not text"


class _Missing:
    """There is no response at all."""


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class OvoScore:
    """One way to score one set of results.

    Args:
        tasks: right answers of all, by task.
    """

    tasks: Mapping[str, Ratio]

    def group(self, name: str) -> float | None:
        """Mean accuracy of a group's tasks in percent; None where none of them was asked."""
        known = [self.tasks[task].percent for task in GROUPS[name] if task in self.tasks]
        shares = [share for share in known if share is not None]
        return sum(shares) / len(shares) if shares else None

    @property
    def total(self) -> float | None:
        """Mean of the three groups; None where one was not asked."""
        shares = [self.group(name) for name in GROUPS]
        if any(share is None for share in shares):
            return None
        return sum(share for share in shares if share is not None) / len(shares)


def official(task: str, response: str, truth: str) -> bool:
    """The official rule: the letter, or Yes or No, stands anywhere in the reply; REC: its digits, joined."""
    if task == "REC":
        return "".join(re.findall(r"\d+", response)) == truth
    if task in GROUPS["forward"] and response in ("Y", "N"):
        return response == truth[0]
    return anywhere(response, truth)


def strict(task: str, response: str, truth: str) -> bool:
    """Right only if the reply gives one answer and nothing speaks against it.

    A letter by ``letters.sure_letter``; REC must hold one number; Yes or No must come first, and the other
    one may not stand as an answer after it ("Yes or No").
    """
    text = response.strip()
    if task == "REC":
        return re.findall(r"\d+", text) == [truth]
    if task in GROUPS["forward"]:
        found = _YES_NO.match(text)
        said = {each.lower() for each in _ANY_YES_NO.findall(text)}
        return found is not None and found[1].lower() == truth.lower() and said <= {truth.lower()}
    return sure_letter(response) == truth


def exact(task: str, response: str, truth: str) -> bool:  # noqa: ARG001 - one of the rules
    """The rule of logits: the best candidate is the answer."""
    return response == truth


def score(answers: Iterable[Answered], rule: Callable[[str, str, str], bool]) -> OvoScore:
    """Score answers by a rule; what is no text is wrong."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for each in answers:
        asked[each.task] += 1
        right[each.task] += isinstance(each.response, str) and rule(each.task, each.response, each.truth)
    return OvoScore({task: Ratio(right[task], asked[task]) for task in GROUP_OF if asked[task]})


def problems(answers: Sequence[Answered]) -> list[str]:
    """A sentence for every kind of response that is no text: how many, and which."""
    names: dict[str, list[str]] = defaultdict(list)
    for each in answers:
        if each.problem:
            names[each.problem].append(each.name)
    return [
        f"{len(found)} of {len(answers)} responses are {problem} and count as wrong: {capped(found)}"
        for problem, found in names.items()
    ]


def shared_ids(answers: Sequence[Answered]) -> list[str]:
    """A sentence where one id stands for several questions, each of which counts."""
    names = [each.name for each in answers if each.shares_id]
    return [f"{len(names)} answers share an id with another question, and all count: {capped(names)}"][
        : len(names)
    ]


def load_official(paths: Sequence[Path]) -> list[Answered]:
    """Read results in the official form, from files or from all the ``.json`` files of folders.

    ``{"backward": [{id, video, task, question, response, ground_truth}], "realtime": [...], "forward": [item
    with test_info[i].response]}``. A response may be a list of one. An answer that stands in several files
    counts once. Published files use an id for two questions at times: both count, as their authors' script
    counts them, and have ``shares_id``.

    Raises:
        SourceError: a file cannot be read or is of another form; there is none; two files answer a query
            in different ways.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    found: dict[tuple[str, int], Answered] = {}
    for file in files:
        own: dict[str, list[Answered]] = defaultdict(list)
        for item in _items_of(file):
            for asked, answer in _answers_of(item, file):
                if answer not in own[asked]:
                    own[asked].append(answer)
        for asked, answers in own.items():
            for number, answer in enumerate(answers):
                put_once(found, (asked, number), answer, answer.name, str(file))
    if not found:
        raise SourceError(f"no results of OVO-Bench in {', '.join(map(str, paths))}", _HINT)
    every = list(found.values())
    counts = Counter(each.name for each in every)
    names = numbered([each.name for each in every])
    return [
        replace(each, name=name, shares_id=counts[each.name] > 1)
        for name, each in zip(names, every, strict=True)
    ]


def _items_of(file: Path) -> Iterator[object]:
    content = read_json(file, _HINT)
    if not isinstance(content, dict) or not set(content) & set(GROUPS):
        raise SourceError(f"{file} holds none of {', '.join(GROUPS)}", _HINT)
    for group in GROUPS:
        items = content.get(group) or []
        if not isinstance(items, list):
            raise SourceError(f"{file}: {group} is no list", _HINT)
        yield from items


def _answers_of(item: object, file: Path) -> list[tuple[str, Answered]]:
    """The answers of one entry, one or several, each with what tells its question from others of its id."""
    try:
        assert isinstance(item, dict)
        task = item["task"]
        assert task in GROUP_OF
        about = [Path(str(item.get("video"))).name, item.get("question"), item.get("activity")]
        name = f"{task} {item['id']}"
        if "test_info" not in item:
            answer = Answered(name, task, str(item["ground_truth"]), response_of(item))
            return [(_told([name, *about]), answer)]
        found = []
        for number, test in enumerate(item["test_info"]):
            answer = Answered(f"{name}, query {number}", task, forward_truth(task, test), response_of(test))
            found.append((_told([answer.name, *about, test.get("step"), test.get("realtime")]), answer))
        return found
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise SourceError(f"{file}: this is no result of OVO-Bench: {_told(item)[:80]}", _HINT) from error


def response_of(entry: Mapping[str, Any]) -> object:
    """The response of an entry; where it is a list of one, as some models write it, that one."""
    response = entry.get("response", MISSING)
    return response[0] if isinstance(response, list) and len(response) == 1 else response


def _told(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
