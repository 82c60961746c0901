"""LongVideoBench: multiple choice about whole videos of 15 s to an hour.

Questions are ``lvb_val.json``: ``id, video_path, question, candidates (or option0, option1, ...),
correct_choice, duration_group, question_category, subtitle_path``. A reply is read by ``letters.sure_letter``
and, as it is published, by its first capital among the letters; no letter is wrong, never a guess. Subtitles
are not shown: how many questions come with some is told.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio
from svlm_cli.bench.common.letters import (
    ALPHABET,
    FEWEST_LETTERS,
    first_letter,
    letters_of,
    sure_letter,
)
from svlm_cli.bench.common.published import LONGVIDEO
from svlm_cli.bench.common.records import Record, put_once, read_lines
from svlm_cli.bench.common.results import LineForm, StoredRun, read_runs
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.common.work import find_video
from svlm_cli.bench.questions.answering import Asked, without_recent
from svlm_cli.bench.questions.asking import Question
from svlm_cli.bench.questions.ovo_score import response_of
from svlm_cli.documents import MalformedError
from svlm_cli.errors import SourceError
from svlm_cli.values import numeral, path_text, whole

NUM_QUESTIONS = 1337  # of lvb_val.json
INSTRUCTION = "Answer with the option's letter from the given choices directly."
PROTOCOL = "LongVideoBench val, no subtitles"
GROUPS: Mapping[str, str] = {"15": "8-15 s", "60": "15-60 s", "600": "3-10 min", "3600": "15-60 min"}
FIRST = "_first_letter"
COLUMNS: Mapping[str, str] = {
    "accuracy": "accuracy, strict",
    f"accuracy{FIRST}": "accuracy, first letter (published rule)",
    **{f"duration_{group}": f"{title}, strict" for group, title in GROUPS.items()},
    **{f"duration_{group}{FIRST}": f"{title}, first letter" for group, title in GROUPS.items()},
}
_HINT = "give lvb_val.json of LongVideoBench"
_NO_OPTION = (None, "", "N/A")


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
        num_options: how many options it has.
        has_subtitles: whether subtitles belong to it, which are not shown.
    """

    id: str
    video: str
    prompt: str
    truth: str
    duration_group: str
    category: str
    num_options: int
    has_subtitles: bool


def load_items(path: Path) -> list[Item]:
    """Read the questions.

    Raises:
        SourceError: they cannot be read or one is of another form; says which.
    """
    content = read_lines(path, "questions")
    if not content:
        raise SourceError(f"{path} holds no questions", _HINT)
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
                "num_options": item.num_options,
                "has_subtitles": item.has_subtitles,
            },
        )
        for item in items
    ]


def without_subtitles(num: int, whole: int) -> str:
    """A sentence about the questions whose subtitles are not shown; empty where there are none."""
    if not num:
        return ""
    return (
        f"{num:,} of {whole:,} questions come with subtitles, which are not shown: what only they say "
        "cannot be known"
    )


@dataclass(frozen=True, slots=True)
class LongAnswer:
    """A question with its answer; ``response`` is what came back, whatever it is."""

    video: str
    truth: str
    duration_group: str
    category: str
    response: object
    letters: str
    has_subtitles: bool

    @property
    def letter(self) -> str | None:
        """The answer; None where the reply is not sure of a letter or is no text."""
        return sure_letter(self.response, self.letters) if isinstance(self.response, str) else None

    @property
    def first(self) -> str | None:
        """The answer by the published rule; None where the reply has no letter or is no text."""
        return first_letter(self.response, self.letters) if isinstance(self.response, str) else None


def _answer(record: Record) -> tuple[str, LongAnswer]:
    wanted = {"run": str, "truth": str, "duration_group": str, "facts": dict, "id": str}
    if lacking := [name for name, kind in wanted.items() if not isinstance(record.get(name), kind)]:
        raise MalformedError(f"it has no {', '.join(lacking)}")
    video, category = (str(record.get(name, "")) for name in ("video", "question_category"))
    num = whole(record.get("num_options", FEWEST_LETTERS), "num_options", 2, len(ALPHABET))
    return record["id"], LongAnswer(
        video,
        record["truth"],
        record["duration_group"],
        category,
        response_of(record),
        letters_of(num),
        record.get("has_subtitles") is True,
    )


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
        num_silent, num_unsure = (
            sum(letter is None for letter in letters) - num
            for letters in ([each.first for each in answers], [each.letter for each in answers])
        )
        if num or num_silent or num_unsure:
            silent.append(
                f"**{run.name}**: {num_silent} replies name no letter and {num} are no text; "
                f"both count as wrong. Strictly, {num_unsure} name none that is sure."
            )
        if told := without_subtitles(sum(each.has_subtitles for each in answers), len(answers)):
            partial.append(f"**{run.name}**: {told}.")
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
        "longvideo",
        "LongVideoBench",
        found,
        COLUMNS,
        {"By category of question": categories},
        notes,
        published=LONGVIDEO,
        drawn={name: title for name, title in COLUMNS.items() if not _is_duration_of_first(name)},
    )


def _is_duration_of_first(name: str) -> bool:
    return name.startswith("duration_") and name.endswith(FIRST)


def _row(run: StoredRun[LongAnswer]) -> Row:
    answers = list(run.lines.values())
    scores = _by_both("accuracy", answers)
    for group in GROUPS:
        scores |= _by_both(f"duration_{group}", [each for each in answers if each.duration_group == group])
    for category in sorted({each.category for each in answers} - {""}):
        own = [each for each in answers if each.category == category]
        scores[f"category_{category}"] = _accuracy(own, lambda each: each.letter)
    facts = {**run.facts.columns, "questions": str(len(answers))}
    return Row(run.name, run.facts.protocol or PROTOCOL, facts, scores)


def _by_both(name: str, answers: Sequence[LongAnswer]) -> dict[str, Estimate]:
    """The same answers strictly and by the published rule."""
    return {
        name: _accuracy(answers, lambda each: each.letter),
        f"{name}{FIRST}": _accuracy(answers, lambda each: each.first),
    }


def _accuracy(answers: Sequence[LongAnswer], read: Callable[[LongAnswer], str | None]) -> Estimate:
    """Share of right answers; the interval draws videos whole."""
    videos: dict[str, list[bool]] = defaultdict(list)
    for each in answers:
        videos[each.video].append(read(each) == each.truth)
    ratios = [Ratio(sum(right), len(right)) for right in videos.values()]
    return Bootstrap(max(1, len(ratios))).estimate(ratios or [Ratio()])


def _item(row: Any, where: str) -> Item:
    try:
        options = _options(row)
        if not 2 <= len(options) <= len(ALPHABET):
            raise ValueError(f"{len(options)} options")
        choice = whole(numeral(row["correct_choice"]), "correct_choice", 0, len(options) - 1)
        lines = [f"{letter}. {option}" for letter, option in zip(ALPHABET, options, strict=False)]
        return Item(
            str(row["id"]),
            path_text(row["video_path"], "video_path"),
            "\n".join([str(row["question"]), *lines, INSTRUCTION]),
            ALPHABET[choice],
            str(row["duration_group"]),
            str(row.get("question_category") or ""),
            len(options),
            bool(row.get("subtitle_path")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise SourceError(f"{where} is not of LongVideoBench: {why}", _HINT) from error


def _options(row: Any) -> list[str]:
    """The options, as many as there are; rows of a table hold ``N/A`` behind the last."""
    options = row.get("candidates")
    if options is None:
        numbers = [int(name[6:]) for name in row if name.startswith("option") and name[6:].isdecimal()]
        options = [row.get(f"option{number}") for number in range(max(numbers, default=-1) + 1)]
        while options and options[-1] in _NO_OPTION:
            options.pop()
    return [str(option) for option in options]
