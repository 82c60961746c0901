"""OVO-Bench: what is asked of which video, and when.

Annotations (``ovo_bench_new.json``, github.com/JoeLeelyf/OVO-Bench) hold 1,640 items, which are 3,035
queries: those of the forward tasks ask the same thing at several times. The official wording comes in by a
file of the user's own; the one here is ours, and every table says which was used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.bench.common.records import put_once, read_json, read_lines
from svlm_cli.digest import digest
from svlm_cli.documents import MalformedError
from svlm_cli.errors import SourceError, UsageError

GROUPS: Mapping[str, tuple[str, ...]] = {
    "backward": ("EPM", "ASI", "HLD"),
    "realtime": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "forward": ("REC", "SSR", "CRR"),
}
GROUP_OF = {task: group for group, tasks in GROUPS.items() for task in tasks}
NUM_QUERIES: Mapping[str, int] = {  # of ovo_bench_new.json
    "EPM": 297, "ASI": 148, "HLD": 186, "STU": 178, "OJR": 184, "ATR": 116,
    "FPD": 101, "ACR": 109, "OCR": 149, "REC": 698, "SSR": 629, "CRR": 240,
}  # fmt: skip
LETTERS = "ABCDE"
SHORTEST_SECONDS = 1.0  # shown of a video that is shown from ask_time on, as in LiveCC
_NUMBERS = ("realtime", "ask_time", "gt", "count", "type")
_HINT = "give ovo_bench_new.json of OVO-Bench"

OWN_TEMPLATES: Mapping[str, str] = {
    "BR_PROMPT_TEMPLATE": "{}\n{}\nAnswer with the letter of the right option alone.",
    "REC_PROMPT_TEMPLATE": "{} Count over the whole video so far and all people. Answer with a number alone.",
    "SSR_PROMPT_TEMPLATE": (
        "This video shows a task done step by step. Is this step being done right now: {}? "
        "Answer with Yes or No alone."
    ),
    "CRR_PROMPT_TEMPLATE": (
        "Here is a question about the end of this video: {} Has the video shown enough by now to answer it? "
        "Answer with Yes or No alone."
    ),
}


class OvoProtocol(StrEnum):
    """How an answer is taken: from a free reply, or from the logits of the possible answers."""

    OFFICIAL = "official"
    LOGIT = "logit"


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts around a question.

    Args:
        name: as tables show it.
        templates: the four of ``OWN_TEMPLATES``, with ``{}`` where question and options go.
    """

    name: str
    templates: Mapping[str, str]


OWN_WORDING = Wording("own wording", OWN_TEMPLATES)


@dataclass(frozen=True, slots=True)
class Query:
    """One thing asked at one time.

    Args:
        id: the id of the item.
        number: the number of the query within its item; 0 for the tasks that ask once.
        task: e.g. ``EPM``.
        video: as the annotations name it.
        shown_from, at_seconds: what of the video may be seen.
        prompt: what is asked, in full.
        truth: ``A`` to ``E``, a number, ``Yes`` or ``No``.
    """

    id: int | str
    number: int
    task: str
    video: str
    shown_from: float
    at_seconds: float
    prompt: str
    truth: str

    @property
    def key(self) -> str:
        """The same for the same query, whatever the wording."""
        return f"{self.task}-{self.id}-{self.number}"


def load_wording(path: Path) -> Wording:
    """Read templates: ``{"templates": {"BR_PROMPT_TEMPLATE": ..., "REC_...", "SSR_...", "CRR_..."}}``.

    Raises:
        SourceError: it cannot be read.
        UsageError: it lacks a template, or one has not as many ``{}`` as are filled in.
    """
    content = read_json(path, "give a JSON file with the key templates")
    templates = content.get("templates", content) if isinstance(content, dict) else {}
    for name, own in OWN_TEMPLATES.items():
        text, num_places = templates.get(name), own.count("{}")
        if not isinstance(text, str) or text.count("{}") != num_places:
            raise UsageError(
                f"{path} has no text under {name} with {num_places} times {{}}",
                f"it needs {', '.join(OWN_TEMPLATES)}",
            )
    chosen = {name: templates[name] for name in OWN_TEMPLATES}
    return Wording(f"wording of {path.name} ({digest(chosen, 8)})", chosen)


def load_items(path: Path) -> list[dict[str, Any]]:
    """Read the annotations.

    Raises:
        SourceError: they cannot be read, or an item is not of the form of OVO-Bench; says which.
    """
    content = [_numbered(item) for item in read_lines(path, "items of OVO-Bench")]
    if not content:
        raise SourceError(f"{path} holds no items", _HINT)
    items: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(content):
        if problem := _problem(item):
            raise SourceError(f"{path}, item {number}: {problem}", _HINT)
        name = f"{item['task']} {item['id']}"
        put_once(items, name, item, name, f"{path}, item {number}")
    return list(items.values())


def queries(
    items: Sequence[Mapping[str, Any]],
    protocol: OvoProtocol = OvoProtocol.OFFICIAL,
    wording: Wording = OWN_WORDING,
) -> list[Query]:
    """All queries of the items, in their order.

    Args:
        items: what ``load_items`` gave.
        protocol: under ``logit`` the videos of CRR are shown from ``ask_time`` on, as LiveCC and StreamingVLM
            have it; everything else is shown from the beginning.
        wording: the wording of the prompts.
    """
    return [query for item in items for query in _queries_of(item, protocol, wording)]


def _queries_of(item: Mapping[str, Any], protocol: OvoProtocol, wording: Wording) -> list[Query]:
    task = item["task"]
    if task not in GROUPS["forward"]:
        prompt = _choice_prompt(item["question"], item["options"], wording)
        truth = LETTERS[item["gt"]]
        return [Query(item["id"], 0, task, item["video"], 0.0, float(item["realtime"]), prompt, truth)]
    start = float(item.get("ask_time", 0)) if task == "CRR" and protocol is OvoProtocol.LOGIT else 0.0
    return [
        Query(
            item["id"],
            number,
            task,
            item["video"],
            start,
            max(float(each["realtime"]), start + SHORTEST_SECONDS) if start else float(each["realtime"]),
            filled(wording.templates[f"{task}_PROMPT_TEMPLATE"], _forward_question(item, each)),
            forward_truth(task, each),
        )
        for number, each in enumerate(item["test_info"])
    ]


def forward_truth(task: str, test: Mapping[str, Any]) -> str:
    """The right answer of one query of a forward task."""
    if task != "REC":
        return ("No", "Yes")[int(test["type"])]
    count = test["count"]
    return f"{count:g}" if isinstance(count, float) else str(count)


def filled(template: str, *values: str) -> str:
    """A template with its ``{}`` filled in order; other braces stay, and so do those of the values."""
    first, *rest = template.split("{}")
    return first + "".join(value + text for value, text in zip(values, rest, strict=True))


def _forward_question(item: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    if item["task"] == "REC":
        return f"How many times did they {item['activity']}?"
    return str(test["step"] if item["task"] == "SSR" else item["question"])


def _choice_prompt(question: str, options: Sequence[str], wording: Wording) -> str:
    """Question and options; they stand in one line, as the official evaluation writes them."""
    lettered = "; ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return filled(wording.templates["BR_PROMPT_TEMPLATE"], question, f"{lettered};")


def _numbered(item: dict[str, Any]) -> dict[str, Any]:
    """An item whose numbers are numbers, be they written as text."""
    numbers = {name: values.numeral(item[name]) for name in _NUMBERS if name in item}
    tests = item.get("test_info")
    if isinstance(tests, list):
        numbers["test_info"] = [_numbered(test) if isinstance(test, dict) else test for test in tests]
    return item | numbers


def _problem(item: object) -> str:
    """What is wrong with an item; empty where nothing is."""
    if not isinstance(item, dict) or not isinstance(item.get("task"), str) or item["task"] not in GROUP_OF:
        return f"its task is not one of {', '.join(GROUP_OF)}"
    task = item["task"]
    needed: dict[str, Any] = {"id": (int, str), "video": str}
    if task in GROUPS["forward"]:
        needed["test_info"] = list
        needed |= {"REC": {"activity": str}, "CRR": {"question": str}}.get(task, {})
    else:
        needed |= {"question": str, "options": list, "gt": int, "realtime": (int, float)}
    for name, kind in needed.items():
        if not isinstance(item.get(name), kind):
            return f"it has no {name}"
    if "gt" in needed and not (0 <= item["gt"] < len(item["options"]) <= len(LETTERS)):
        return f"gt {values.short(item['gt'])} is none of its {len(item['options'])} options"
    try:
        values.path_text(item["video"], "video")
        for name in ("realtime", "ask_time"):
            values.seconds(item.get(name, 0), name)
        for number, test in enumerate(item.get("test_info", [])):
            _check_test(values.mapping(test, f"test_info[{number}]"), task)
    except MalformedError as error:
        return str(error)
    return ""


def _check_test(test: Mapping[str, Any], task: str) -> None:
    kinds: dict[str, Any] = {"realtime": (int, float), ("count" if task == "REC" else "type"): int}
    if task == "SSR":
        kinds["step"] = str
    if any(not isinstance(test.get(key), kind) for key, kind in kinds.items()):
        raise MalformedError(f"its test_info lacks {', '.join(kinds)}")
    values.seconds(test["realtime"], "realtime")
    values.whole(test.get("type", 0), "type", 0, 1)
