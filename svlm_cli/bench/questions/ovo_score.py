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
from svlm_cli.bench.common.letter_grammar import HEDGE
from svlm_cli.bench.common.letters import anywhere, sure_letter
from svlm_cli.bench.common.records import put_once, read_json, read_lines
from svlm_cli.bench.common.replies import LABEL, plain, without_thoughts
from svlm_cli.bench.common.tables import SUMMARY_NAME
from svlm_cli.bench.questions.ovo import GROUP_OF, GROUPS, forward_truth
from svlm_cli.errors import SourceError

_YES_NO = re.compile(rf"\W*(?:(?:the\s+)?(?:final\s+)?{LABEL}\s*(?:is\b|[:=])[\s:]*)?(yes|no)\b", re.I)
_ANY_YES_NO = re.compile(r"\b(yes|no)\b(?=\W*$|\s*[.,;:!)])", re.I)
_SAID_YES_NO = re.compile(
    r"(?:^\W*(?:based\s+on|according\s+to|from|in|given|judging\s+by)\b[^.,;]{1,60},\s*|^\W*i\s+(?:think|believe|(?:would\s+)?say)\s+"
    r"|^\W*(?:it|that)(?:\s+is|['’]s)\s+a?\s*|\b(?:so|therefore|thus|hence),?\s+)(yes|no)(?=[\s\"')\]]*$|\s*[.,;:!)])",
    re.I,
)
_KEYS = {*GROUPS, "task"}
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
        is_repeat: whether its file has answered the same question before.
    """

    name: str
    task: str
    truth: str
    response: object
    shares_id: bool = False
    is_repeat: bool = False

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

    A letter by ``letters.sure_letter``; REC must hold one number, thoughts aside; Yes or No must
    come first, tags, ``Answer:`` and ``Based on the video,`` aside, or behind ``so``,
    and the other one may not stand as an answer after it ("Yes or No").
    """
    if task == "REC":
        return re.findall(r"\d+", without_thoughts(response)) == [truth]
    if task in GROUPS["forward"]:
        text = plain(response)
        found = _YES_NO.match(text) or (None if HEDGE.search(text) else _SAID_YES_NO.search(text))
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
    """Sentences where an id stands for several questions, or a question is there twice: all count."""
    told = []
    if names := [each.name for each in answers if each.shares_id]:
        told.append(f"{len(names)} answers share an id with another question, and all count: {capped(names)}")
    if names := [each.name for each in answers if each.is_repeat]:
        told.append(
            f"{len(names)} answers repeat a question of their file, and count once more each, as in the "
            f"authors' script: {capped(names)}"
        )
    return told


def result_files(folder: Path) -> list[Path]:
    """The files of a folder that results may be in; what begins with a dot and our own summary are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in (".json", ".jsonl") and not path.name.startswith(".") and path.name != SUMMARY_NAME
    )


class _NoResultsError(SourceError):
    """A file holds JSON of another kind."""


def load_official(paths: Sequence[Path], tell: Callable[[Path], None] = lambda _: None) -> list[Answered]:
    """Read results in the official form, from files or from all the JSON files of folders.

    ``{"backward": [{id, video, task, question, response, ground_truth}], "realtime": [...], "forward": [item
    with test_info[i].response]}``, or such items in one list, in lines, or by id; LiveCC's list has
    ``answer`` for the ground truth and an item for each query. A response may be a list of one. All that a
    file holds counts, as in the authors' script, be it an id for two questions (``shares_id``) or a question
    twice (``is_repeat``). An answer that stands in several files counts once. A file of a folder that holds
    JSON of another kind is left out, and ``tell`` is told.

    Raises:
        SourceError: a file cannot be read or is of another form; there is none; two files answer a query
            in different ways.
    """
    found: dict[tuple[str, int], Answered] = {}
    for file, items in _read(paths, tell).items():
        own: dict[str, list[Answered]] = defaultdict(list)
        for item in items:
            for asked, answer in _answers_of(item, file):
                own[asked].append(answer)
        for asked, answers in own.items():
            for number, answer in enumerate(answers):
                put_once(found, (asked, number), answer, answer.name, str(file))
    if not found:
        raise SourceError(f"no results of OVO-Bench in {', '.join(map(str, paths))}", _HINT)
    questions = Counter(answer.name for (_, number), answer in found.items() if not number)
    names = numbered([each.name for each in found.values()])
    return [
        replace(each, name=name, shares_id=questions[each.name] > 1, is_repeat=number > 0)
        for name, ((_, number), each) in zip(names, found.items(), strict=True)
    ]


def _read(paths: Sequence[Path], tell: Callable[[Path], None]) -> dict[Path, list[object]]:
    """The entries of each file; ``tell`` is told of those of folders that hold none.

    Raises:
        SourceError: see ``load_official``; a file that was named, or every one, holds none.
    """
    files = [file for path in paths for file in (result_files(path) if path.is_dir() else [path])]
    named, found = {path.resolve() for path in paths}, dict[Path, list[object]]()
    others: dict[Path, _NoResultsError] = {}
    for real, file in {file.resolve(): file for file in files}.items():
        try:
            found[file] = list(_items_of(file))
        except _NoResultsError as error:
            if real in named:
                raise
            others[file] = error
    for file, problem in others.items():
        if not found:
            raise problem
        tell(file)
    return found


def _items_of(file: Path) -> Iterator[object]:
    content = read_lines(file, "results") if file.suffix == ".jsonl" else read_json(file, _HINT)
    parts = [content] if isinstance(content, dict) else content
    if isinstance(content, dict) and not set(content) & set(GROUPS):
        parts = list(content.values())
    is_ours = isinstance(parts, list) and any(set(part) & _KEYS for part in parts if isinstance(part, dict))
    if not is_ours:
        raise _NoResultsError(f"{file} holds none of {', '.join(GROUPS)}", _HINT)
    if not all(isinstance(part, dict) for part in parts):
        raise SourceError(f"{file} holds none of {', '.join(GROUPS)}", _HINT)
    for part in parts:
        if not set(part) & _KEYS:
            raise SourceError(f"{file} holds none of {', '.join(GROUPS)}: {_told(part)[:80]}", _HINT)
        if "task" in part:
            yield part
            continue
        for group in GROUPS:
            items = part.get(group) or []
            if isinstance(items, dict):
                items = list(items.values())
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
            truth = item["ground_truth"] if "ground_truth" in item else item["answer"]
            answer = Answered(name, task, str(truth), response_of(item))
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
