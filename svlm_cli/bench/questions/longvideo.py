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

from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio
from svlm_cli.bench.common.records import Record, put_once, read_json
from svlm_cli.bench.common.results import LineForm, StoredRun, read_runs
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.common.work import find_video
from svlm_cli.bench.questions.answering import Asked, without_recent
from svlm_cli.bench.questions.asking import Question
from svlm_cli.documents import MalformedError
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
        id: its id.
        video: as the file names it.
        prompt: what is asked.
        truth: the right letter.
        duration_group: 15, 60, 600 or 3600.
        category: the category of the question.
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


@dataclass(frozen=True, slots=True)
class LongAnswer:
    """A question with its answer; ``response`` is what came back, whatever it is."""

    video: str
    truth: str
    duration_group: str
    category: str
    response: object

    @property
    def letter(self) -> str | None:
        """The answer; None where the reply names no letter or is no text."""
        return first_letter(self.response) if isinstance(self.response, str) else None


def _answer(record: Record) -> tuple[str, LongAnswer]:
    wanted = {"run": str, "truth": str, "duration_group": str, "facts": dict, "id": str}
    if lacking := [name for name, kind in wanted.items() if not isinstance(record.get(name), kind)]:
        raise MalformedError(f"it has no {', '.join(lacking)}")
    video, category = (str(record.get(name, "")) for name in ("video", "question_category"))
    truth, group = record["truth"], record["duration_group"]
    return record["id"], LongAnswer(video, truth, group, category, record.get("response"))


_ANSWERS = LineForm(
    "answer of LongVideoBench", "answers", _answer, "use another --out", "svlm bench longvideo generate"
)


def rows(folder: Path) -> tuple[list[Row], list[str]]:
    """The figures of every run in a folder that ``generate`` has filled, and what is to be said about them.

    Raises:
        SourceError: see ``read_runs``.
    """
    runs = read_runs(folder, _ANSWERS)
    silent, partial = [], []
    for run in runs:
        answers = run.lines.values()
        num = sum(not isinstance(each.response, str) for each in answers)
        num_silent = sum(each.letter is None for each in answers) - num
        if num or num_silent:
            silent.append(
                f"**{run.name}**: {num_silent} replies name no letter and {num} are no text; "
                "both count as wrong."
            )
        if len(answers) < NUM_QUESTIONS:
            told = f"{len(answers):,} of {NUM_QUESTIONS:,} questions of val"
            partial.append(f"**{run.name}**: part of LongVideoBench only, {told}.")
    found = [_row(run) for run in runs]
    return found, [*silent, *partial, *without_recent([row.protocol for row in found])]


def report(found: Sequence[Row], notes: Sequence[str]) -> Report:
    """The whole report."""
    names = dict.fromkeys(name for row in found for name in row.scores)
    categories = {name: name.removeprefix("category_") for name in names if name.startswith("category_")}
    return Report(
        "longvideo", "LongVideoBench", found, COLUMNS, {"By category of question": categories}, notes
    )


def _row(run: StoredRun[LongAnswer]) -> Row:
    answers = list(run.lines.values())
    scores = {"accuracy": _accuracy(answers)}
    for group in GROUPS:
        scores[f"duration_{group}"] = _accuracy([each for each in answers if each.duration_group == group])
    for category in sorted({each.category for each in answers} - {""}):
        scores[f"category_{category}"] = _accuracy([each for each in answers if each.category == category])
    facts = {**run.facts.columns, "questions": str(len(answers))}
    return Row(run.name, run.facts.protocol or PROTOCOL, facts, scores)


def _accuracy(answers: Sequence[LongAnswer]) -> Estimate:
    """Share of right answers; the interval draws videos whole."""
    videos: dict[str, list[bool]] = defaultdict(list)
    for each in answers:
        videos[each.video].append(each.letter == each.truth)
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
