"""The paper's cleaning pass by a language model, through any OpenAI-compatible address.

A transcript goes there in pieces of 120 s, with the title of its video; of every sentence the model says
whether it stays, is put right, or goes (StreamingVLM, arXiv 2510.09608, section 3.3). What stays keeps the
times of its words, what is put right is spread evenly over its sentence. Every answer is stored before it is
used, so that none is paid for twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from svlm_cli.chat import Chat
from svlm_cli.data.words.transcript import DenseClip, Dropped, TimedWord, Utterance, spread_evenly, text_of
from svlm_cli.digest import digest
from svlm_cli.documents import read_json
from svlm_cli.errors import SvlmError
from svlm_cli.files import whole_file
from svlm_cli.text import encodable

PIECE_SECONDS = 120.0
_PAUSE_SECONDS = 1.5
_LONGEST_SENTENCE = 40
_LONGEST_EDIT = 3
_MOST_BRACKETS = 2000
_ACTIONS = ("keep", "edit", "delete")
_SENTENCE_END = re.compile(r"[.?!…][\"')\]]*$")

_CLEANING = """You prepare the commentary of a sports broadcast for training a live commentator. You are \
given the title of the video and the sentences that a speech recogniser heard in two minutes of it. For each \
sentence decide: "keep" it is; "edit" it where names or words were misheard, and give the sentence put \
right in "text", with nothing added that was not said; "delete" it where it is advertising, talk that has \
nothing to do with the event, or nonsense. Answer with JSON alone, every id once: \
{"sentences": [{"id": 1, "action": "keep"}, {"id": 2, "action": "edit", "text": "..."}, ...]}"""
_JUDGING = """You are given the title of a sports video and what is said in a stretch of it. How much of it, \
in percent, is live commentary on what happens in the picture at that moment, rather than interviews, \
analysis, history, advertising or talk? Answer with JSON alone: {"live_percent": 0 to 100}."""


@dataclass(frozen=True, slots=True)
class LlmOptions:
    """Where the language model is.

    Args:
        model: its name there.
        base_url: the URL of an OpenAI-compatible address; None for OpenAI's own.
        workers: questions at once.
    """

    model: str
    base_url: str | None = None
    workers: int = 4


@dataclass(frozen=True, slots=True)
class CleanCounts:
    """What became of the sentences; ``malformed`` of them stay because their answer could not be read."""

    keep: int = 0
    edit: int = 0
    delete: int = 0
    malformed: int = 0


class LanguageModel:
    """Asks, and remembers.

    Args:
        options: where it is.
        store: folder of the answers.
        should_stop: says before each question whether to stop.

    Raises:
        SvlmError: there is no key in ``OPENAI_API_KEY`` and no other address was given.
    """

    def __init__(
        self, options: LlmOptions, store: Path, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._options = options
        self._store = store
        self._should_stop = should_stop
        self._chat = Chat(options.model, options.base_url, "set OPENAI_API_KEY, or give --llm-base-url")

    def ask_all(self, questions: Sequence[tuple[str, str]]) -> list[str]:
        """The answers to (instructions, text) pairs, in order; stored ones are not asked again.

        Raises:
            SvlmError: an answer could not be had after several tries.
        """
        with ThreadPoolExecutor(self._options.workers) as pool:
            return list(pool.map(lambda question: self._ask(*question), questions))

    def _ask(self, instructions: str, text: str) -> str:
        asked = json.dumps([self._options.model, instructions, text], ensure_ascii=False)
        path = self._store / f"{digest(asked, 32)}.json"
        stored = _stored_answer(path)
        if stored is not None:
            return stored
        if self._should_stop():
            raise SvlmError("stopped", "run the same command again")
        reply = self._chat.ask(
            [{"role": "system", "content": instructions}, {"role": "user", "content": text}]
        )
        usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
        document = {"model": self._options.model, "answer": reply.text, "usage": usage}
        with whole_file(path) as partial:
            partial.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return reply.text


def clean(
    sentences: Sequence[Utterance], title: str, model: LanguageModel
) -> tuple[list[Utterance], list[Dropped], CleanCounts]:
    """Let a language model go over a transcript.

    Args:
        sentences: what ``split_sentences`` gave.
        title: the title of the video.
        model: whom to ask.

    Returns:
        The sentences that stay, those that do not, and how many of which kind.

    Raises:
        SvlmError: the language model cannot be reached.
    """
    pieces = split_pieces(sentences)
    answers = model.ask_all([(_CLEANING, _numbered(title, piece)) for piece in pieces])
    kept: list[Utterance] = []
    dropped: list[Dropped] = []
    counts = dict.fromkeys((*_ACTIONS, "malformed"), 0)
    for piece, answer in zip(pieces, answers, strict=True):
        decisions = read_decisions(answer, len(piece))
        for number, words in enumerate(piece, 1):
            action, text = decisions.get(number, ("malformed", ""))
            counts[action] += 1
            if action == "delete":
                dropped.append(Dropped.of("deleted by the language model", words))
            elif action == "edit" and len(text.split()) <= _LONGEST_EDIT * len(words) + _LONGEST_SENTENCE:
                kept.append(spread_evenly(text, words[0].start_seconds, words[-1].end_seconds))
            else:
                kept.append(words)
    counts["keep"] += counts["malformed"]
    return kept, dropped, CleanCounts(**counts)


def judge_clips(
    clips: Sequence[DenseClip], words: Sequence[TimedWord], title: str, model: LanguageModel
) -> tuple[DenseClip, ...]:
    """Ask how much of each clip is live commentary; None where the answer cannot be read.

    Raises:
        SvlmError: the language model cannot be reached.
    """
    said = [
        text_of(word for word in words if clip.start_seconds <= word.second < clip.end_seconds)
        for clip in clips
    ]
    answers = model.ask_all([(_JUDGING, json.dumps({"title": title, "said": text})) for text in said])
    return tuple(
        replace(clip, live_share=_live_share(answer)) for clip, answer in zip(clips, answers, strict=True)
    )


def split_sentences(words: Sequence[TimedWord]) -> list[Utterance]:
    """Sentences: up to a closing mark, a pause of 1.5 s, or 40 words."""
    sentences: list[Utterance] = []
    current: list[TimedWord] = []
    for word in words:
        if current and word.start_seconds - current[-1].end_seconds > _PAUSE_SECONDS:
            sentences.append(tuple(current))
            current = []
        current.append(word)
        if _SENTENCE_END.search(word.text) or len(current) == _LONGEST_SENTENCE:
            sentences.append(tuple(current))
            current = []
    return [*sentences, tuple(current)] if current else sentences


def split_pieces(sentences: Sequence[Utterance]) -> list[list[Utterance]]:
    """Sentences that begin within the same 120 s of the video, together."""
    pieces: dict[int, list[Utterance]] = {}
    for words in sentences:
        pieces.setdefault(int(words[0].start_seconds // PIECE_SECONDS), []).append(words)
    return list(pieces.values())


def read_decisions(answer: str, num_sentences: int) -> dict[int, tuple[str, str]]:
    """What an answer says of each sentence, by number; without what cannot be read or is said twice."""
    items = _json_in(answer, "sentences")
    found: dict[int, tuple[str, str]] = {}
    twice: set[int] = set()
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict) or type(item.get("id")) is not int:
            continue
        number, action, text = item["id"], item.get("action"), item.get("text")
        is_edit = action == "edit" and isinstance(text, str) and text.strip()
        if (is_edit or action in ("keep", "delete")) and 1 <= number <= num_sentences:
            twice |= {number} & found.keys()
            found[number] = (str(action), encodable(str(text or "")))
    return {number: decision for number, decision in found.items() if number not in twice}


def _numbered(title: str, piece: Sequence[Utterance]) -> str:
    sentences = [{"id": number, "text": text_of(words)} for number, words in enumerate(piece, 1)]
    return json.dumps({"title": title, "sentences": sentences}, ensure_ascii=False)


def _live_share(answer: str) -> float | None:
    percent = _json_in(answer, "live_percent")
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0 <= percent <= 100:
        return None
    return round(percent / 100, 4)


def _json_in(answer: str, key: str) -> Any:
    """What the last JSON object of an answer has under a key, or a bare list of objects.

    It may stand in a fence, among words, or behind thoughts.
    """
    found, place = None, 0
    for _ in range(_MOST_BRACKETS):
        start = min((k for k in (answer.find("{", place), answer.find("[", place)) if k >= 0), default=-1)
        if start < 0:
            break
        try:
            document, place = json.JSONDecoder().raw_decode(answer, start)
        except (ValueError, RecursionError):
            place = start + 1
            continue
        if isinstance(document, dict) and key in document:
            found = document[key]
        elif isinstance(document, list) and document and all(isinstance(each, dict) for each in document):
            found = document
    return found


def _stored_answer(path: Path) -> str | None:
    try:
        return str(read_json(path)["answer"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
