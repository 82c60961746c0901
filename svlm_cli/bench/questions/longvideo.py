"""LongVideoBench: multiple choice about whole videos of 15 s to an hour.

Questions are ``lvb_val.json``: ``id, video_path, question, candidates (or option0 to option4),
correct_choice, duration_group, question_category``. A reply's first letter A to E is the answer; no letter is
wrong, never a guess. Subtitles are not shown.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.bench.common.events import numbered
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio
from svlm_cli.bench.common.records import Record, put_once, read_json, read_lines
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.common.work import RESULTS_NAME, find_video
from svlm_cli.bench.questions.answering import Asked, without_recent
from svlm_cli.bench.questions.asking import Question
from svlm_cli.errors import SourceError
from svlm_cli.values import path_text, whole

LETTERS = "ABCDE"
NUM_QUESTIONS = 1337  # of lvb_val.json
INSTRUCTION = "Answer with the option's letter from the given choices directly."
PROTOCOL = "LongVideoBench val, first letter, no subtitles"
GROUPS: Mapping[str, str] = {"15": "8-15 s", "60": "15-60 s", "600": "3-10 min", "3600": "15-60 min"}
COLUMNS: Mapping[str, str] = {"accuracy": "accuracy"} | {
    f"duration_{group}": title for group, title in GROUPS.items()
}
_HINT = "give lvb_val.json of LongVideoBench"
_LETTER = re.compile(r"[A-E]")


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    Args:
        id: of it.
        video: as the file names it.
        prompt: what is asked.
        truth: the right letter.
        duration_group: 15, 60, 600 or 3600.
        category: of the question.
    """

    id: str
    video: str
    prompt: str
    truth: str
    duration_group: str
    category: str


def load_items(path: Path) -> list[Item]:
    """Read the questions.

    Raises:
        SourceError: they cannot be read or one is of another form; says which.
    """
    content = read_json(path, _HINT)
    if not isinstance(content, list) or not content:
        raise SourceError(f"{path} is not a list of questions", _HINT)
    items: dict[str, Item] = {}
    for number, row in enumerate(content):
        item = _item(row, f"{path}, question {number}")
        put_once(items, item.id, item, item.id, f"{path}, question {number}")
    return list(items.values())


def asked(items: Sequence[Item], videos: Path) -> list[Asked]:
    """The items as questions to a model: asked at the end of the video."""
    return [
        Asked(
            find_video(videos, item.video),
            Question(item.id, 0.0, math.inf, item.prompt),
            {
                "id": item.id,
                "video": item.video,
                "duration_group": item.duration_group,
                "question_category": item.category,
                "truth": item.truth,
            },
        )
        for item in items
    ]


def first_letter(reply: str) -> str | None:
    """The first capital A to E of a reply; None where there is none."""
    found = _LETTER.search(reply)
    return None if found is None else found[0]


def rows(folder: Path) -> tuple[list[Row], list[str]]:
    """The figures of every run in a folder that ``generate`` has filled, and what is to be said about them.

    Raises:
        SourceError: it cannot be read or holds something else.
    """
    file = folder / RESULTS_NAME if folder.is_dir() else folder
    by_id: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for number, record in enumerate(read_lines(file, "answers"), start=1):
        wanted = {"run": str, "truth": str, "duration_group": str, "facts": dict, "id": str}
        if any(not isinstance(record.get(name), kind) for name, kind in wanted.items()):
            raise SourceError(f"line {number} of {file} is no answer of LongVideoBench", "use another --out")
        run = record["run"], str(record.get("fingerprint"))
        name = f"{record['run']}, {record['id']}"
        put_once(by_id[run], record["id"], record, name, f"line {number} of {file}")
    runs = {run: list(records.values()) for run, records in by_id.items()}
    if not runs:
        raise SourceError(f"{file} holds no answers", "svlm bench longvideo generate makes them")
    notes = []
    for records in runs.values():
        num = sum(not isinstance(each.get("response"), str) for each in records)
        num_silent = sum(
            isinstance(each.get("response"), str) and first_letter(each["response"]) is None
            for each in records
        )
        if num or num_silent:
            notes.append(
                f"**{records[0]['run']}**: {num_silent} replies name no letter and {num} are no text; "
                "both count as wrong."
            )
    names = numbered([name for name, _ in runs])
    notes += [
        f"**{name}**: part of LongVideoBench only, {len(records):,} of {NUM_QUESTIONS:,} questions of val."
        for name, records in zip(names, runs.values(), strict=True)
        if len(records) < NUM_QUESTIONS
    ]
    found = [_row(name, records) for name, records in zip(names, runs.values(), strict=True)]
    return found, [*notes, *without_recent([row.protocol for row in found])]


def report(found: Sequence[Row], notes: Sequence[str]) -> Report:
    """The whole report."""
    names = dict.fromkeys(name for row in found for name in row.scores)
    categories = {name: name.removeprefix("category_") for name in names if name.startswith("category_")}
    return Report(
        "longvideo", "LongVideoBench", found, COLUMNS, {"By category of question": categories}, notes
    )


def _row(name: str, records: Sequence[Record]) -> Row:
    facts = {key: str(value) for key, value in records[0]["facts"].items()}
    protocol = facts.pop("protocol", PROTOCOL)
    scores = {"accuracy": _accuracy(records)}
    for group in GROUPS:
        scores[f"duration_{group}"] = _accuracy([each for each in records if each["duration_group"] == group])
    for category in sorted({str(each.get("question_category", "")) for each in records} - {""}):
        scores[f"category_{category}"] = _accuracy(
            [each for each in records if each.get("question_category") == category]
        )
    return Row(name, protocol, facts | {"questions": str(len(records))}, scores)


def _accuracy(records: Sequence[Record]) -> Estimate:
    """Share of right answers; the interval draws videos whole."""
    videos: dict[str, list[bool]] = defaultdict(list)
    for each in records:
        reply = each.get("response")
        right = isinstance(reply, str) and first_letter(reply) == each["truth"]
        videos[str(each.get("video"))].append(right)
    ratios = [Ratio(sum(right), len(right)) for right in videos.values()]
    return Bootstrap(max(1, len(ratios))).estimate(ratios or [Ratio()])


def _item(row: Any, where: str) -> Item:
    try:
        options = row.get("candidates")
        if options is None:
            given = (row.get(f"option{number}") for number in range(len(LETTERS)))
            options = [option for option in given if option not in (None, "", "N/A")]
        options = [str(option) for option in options]
        choice = whole(row["correct_choice"], "correct_choice", 0, len(options) - 1)
        if not 2 <= len(options) <= len(LETTERS):
            raise ValueError(f"{len(options)} options")
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
        return Item(
            str(row["id"]),
            path_text(row["video_path"], "video_path"),
            "\n".join([str(row["question"]), *lines, INSTRUCTION]),
            LETTERS[choice],
            str(row["duration_group"]),
            str(row.get("question_category") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{where} is not of LongVideoBench: {error!r}", _HINT) from error
