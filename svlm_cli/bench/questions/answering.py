"""Questions about videos, asked of a model of our own or behind an address; every answer is stored once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.bench.api.options import ApiOptions
from svlm_cli.bench.api.videos import CallForm, VideoCalls
from svlm_cli.bench.common.events import WorkDone, WorkEvent, WorkStart, capped
from svlm_cli.bench.common.model import ModelFacts, ModelOptions, model_facts
from svlm_cli.bench.common.records import RecordFile
from svlm_cli.bench.common.results import RESULTS_NAME, RunFacts
from svlm_cli.bench.common.settings import decoding_text, memory_text, pixels_text
from svlm_cli.bench.common.work import Failures, present, record_key, work_key
from svlm_cli.bench.questions.asking import ModelAsker, Question, Way, question_times
from svlm_cli.errors import SourceError
from svlm_cli.types import WarningEvent

LATE_SECONDS = 0.5  # behind the end of a video that a question may be asked without a word

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.step.feeding import Feeder


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its video and what its line of results begins with."""

    video: Path
    question: Question
    head: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class AskRun:
    """One way to ask all questions.

    Args:
        name: the name of the row.
        protocol: the protocol of the benchmark, e.g. ``OVO-Bench official, own wording``.
        way: how videos are shown.
        max_new_tokens: most tokens of a free reply.
    """

    name: str
    protocol: str
    way: Way
    max_new_tokens: int

    def identity(self) -> dict[str, object]:
        """Everything but the model and the question that can change an answer."""
        return self.way.identity() | {"max_new_tokens": self.max_new_tokens}

    def facts(self, model: ModelFacts) -> RunFacts:
        """Of its row."""
        streams = self.way.showing.value == "streamed"
        columns = {
            "model": f"{model.name} ({model.fingerprint[:8]})",
            "frames": self.way.frames,
            "resolution": pixels_text(self.way.settings),
            "memory": memory_text(self.way.settings) if streams else "one prompt",
            "seed": "none: the best tokens" if not self.way.speaks else decoding_text(self.way.settings),
        }
        return RunFacts(columns, f"{self.protocol}, {self.way.name}")


def answer_by_model(
    runs: Sequence[AskRun], asked: Sequence[Asked], options: ModelOptions, out: Path, batch: int = 1
) -> Generator[WorkEvent, None, None]:
    """Ask every question of every run that has no answer yet.

    Args:
        runs, asked: what and how.
        options: how to open the model.
        out: folder of ``results.jsonl``.
        batch: videos at once, in shared forwards.

    Raises:
        ModelError: the model cannot be opened.
        OutputError: the folder cannot be used.
        SourceError: no video is there, or more than ``MOST_FAILURES`` cannot be read.
    """
    with RecordFile(out / RESULTS_NAME, record_key) as results:
        yield from (WarningEvent(problem) for problem in results.problems)
        asked, missing = present(asked, "questions")
        if missing:
            yield WarningEvent(missing)
        from svlm_cli.stream.step.meeting import do_all

        model = options.load()
        facts = model_facts(model)
        identities = {
            run.name: {"model": facts.fingerprint, **_where(facts), **run.identity()} for run in runs
        }
        keys = {
            (run.name, each.question.key): _key(identities[run.name], each) for run in runs for each in asked
        }
        num_done = sum(key in results for key in keys.values())
        pending = [
            each for each in asked if any(keys[run.name, each.question.key] not in results for run in runs)
        ]
        yield WorkStart(f"{facts.name} on {facts.device} ({facts.dtype})", "answers", num_done, len(keys))
        yield from _lacking(model, asked)
        yield from behind_the_end(pending)
        failures = Failures()
        left = [
            (run, [each for each in asked if keys[run.name, each.question.key] not in results])
            for run in runs
        ]
        works = (partial(_answered, model, run, group) for run, own in left for group in _by_video(own))
        with closing(do_all(model, works, batch)) as events:
            for event in events:
                run, each = event.run, event.asked
                if isinstance(event.outcome, SourceError):
                    failures.count(event.outcome)
                    told = f"questions about {each.video.name} are left out: {event.outcome}"
                    yield WarningEvent(f"{run.name}: {told}")
                    continue
                if keys[run.name, each.question.key] not in results:
                    results.add(_record(run, identities[run.name], run.facts(facts), each, event.outcome))
                yield WorkDone()
        results.sort(list(dict.fromkeys(keys.values())))


@dataclass(frozen=True, slots=True, eq=False)
class _VideoAnswer:
    """A question with its answer, or with why its video cannot be read further."""

    run: AskRun
    asked: Asked
    outcome: str | SourceError


def _answered(
    model: VideoLanguageModel, run: AskRun, group: Sequence[Asked], feeder: Feeder | None
) -> Generator[_VideoAnswer, None, None]:
    """Ask all questions about one video."""
    asker = ModelAsker(model, run.way, run.max_new_tokens, feeder)
    known = {each.question.key: each for each in group}
    try:
        for question, response in asker.answers(group[0].video, [each.question for each in group]):
            yield _VideoAnswer(run, known[question.key], response)
    except SourceError as error:
        yield _VideoAnswer(run, group[0], error)


def _by_video(asked: Sequence[Asked]) -> list[list[Asked]]:
    groups: dict[Path, list[Asked]] = defaultdict(list)
    for each in asked:
        groups[each.video].append(each)
    return list(groups.values())


def answer_by_address(
    run: AskRun, asked: Sequence[Asked], options: ApiOptions, out: Path
) -> VideoCalls[Asked]:
    """Questions to be asked behind an address.

    Args:
        run: how videos are shown; streaming is not possible there.
        asked: the questions.
        options: who is asked.
        out: folder of ``results.jsonl``.

    Raises:
        SourceError: no video is there.
    """
    identity = options.identity() | run.identity()
    own = options.columns()
    columns = {
        "model": own["model"],
        "frames": run.way.frames,
        "resolution": own["resolution"],
        "memory": "one prompt",
        "seed": "none: the address's own",
    }
    facts = RunFacts(columns, f"{run.protocol}, {run.way.name}")
    asking: CallForm[Asked] = CallForm(
        unit="answers",
        key=lambda each: _key(identity, each),
        prompt=lambda each: each.question.prompt,
        times=lambda each, info: question_times(run.way, each.question, info, each.video.name),
        record=lambda each, reply: _record(run, identity, facts, each, reply.text),
        place=lambda each: each.question.key,
    )
    return VideoCalls(asked, options, out / RESULTS_NAME, asking)


def behind_the_end(asked: Sequence[Asked]) -> Generator[WorkEvent, None, None]:
    """Say which questions are asked at a time that their video does not have; they are asked at its end."""
    from svlm_cli.media.file.reader import open_video

    timed: dict[Path, list[Question]] = defaultdict(list)
    for each in asked:
        if each.question.at_seconds != math.inf and each.video.is_file():
            timed[each.video].append(each.question)
    for video, questions in timed.items():
        try:
            with open_video(video) as reader:
                end = reader.info.duration_seconds
        except SourceError:  # told where its questions are asked
            continue
        if end is None:
            continue
        late = [each for each in questions if each.at_seconds > end + LATE_SECONDS]
        if late:
            last = max(each.at_seconds for each in late)
            yield WarningEvent(
                f"{video.name} ends at {end:.1f} s: {len(late)} of its questions, of up to {last:g} s, are "
                f"asked at its end: {capped([each.key for each in late])}"
            )


def without_recent(protocols: Sequence[str]) -> list[str]:
    """A note where answers of ours lack the row they must be compared with.

    Args:
        protocols: the protocols of the rows of one report that ``generate`` made.
    """
    if not protocols or any(", recent " in protocol for protocol in protocols):
        return []
    return ["There is no row of the recent frames beside it: generate has not come to it, or was told 0."]


def _where(facts: ModelFacts) -> dict[str, object]:
    return {"device": facts.device, "dtype": facts.dtype}


def _key(identity: Mapping[str, object], asked: Asked) -> str:
    question = asked.question
    content = {
        "question": [question.key, question.shown_from, question.at_seconds, question.prompt],
        "candidates": question.candidates,
        "video": asked.video.name,
    }
    return work_key({**identity, **content})


def _record(
    run: AskRun, identity: Mapping[str, object], facts: RunFacts, asked: Asked, response: str
) -> dict[str, object]:
    told = {"protocol": run.protocol, **identity}
    return {
        **asked.head,
        "run": run.name,
        "response": response,
        "fingerprint": work_key(told),
        "facts": facts.to_json(),
        "key": _key(identity, asked),
    }


def _lacking(model: VideoLanguageModel, asked: Sequence[Asked]) -> Generator[WorkEvent, None, None]:
    """Say so where a small vocabulary cannot read the questions."""
    from svlm_cli.model.prompt import PromptWriter

    unknown = PromptWriter(model.tokenizer, model.markup).unknown_words(asked[0].question.prompt)
    if unknown:
        yield WarningEvent(
            f"the model's vocabulary lacks {len(unknown)} words of the first question ({capped(unknown)}): "
            "its answers are worth nothing"
        )
