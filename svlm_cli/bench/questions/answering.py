"""Questions about videos, asked of a model of our own or behind an address; every answer is stored once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.bench.api.options import ApiOptions
from svlm_cli.bench.api.videos import CallForm, VideoCalls
from svlm_cli.bench.common.events import WorkDone, WorkEvent, WorkStart, capped
from svlm_cli.bench.common.hands import ModelCrew, Staff
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.records import RecordFile
from svlm_cli.bench.common.results import RESULTS_NAME, RunFacts
from svlm_cli.bench.common.settings import decoding_text, memory_text, pixels_text
from svlm_cli.bench.common.work import Failures, present, record_key, work_key
from svlm_cli.bench.questions.asking import ModelAsker, Question, Way, question_times
from svlm_cli.errors import SourceError, SvlmError
from svlm_cli.types import WarningEvent
from svlm_cli.work.jobs import Came, Ended, JobLostError, Signals

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
            "memory": memory_text(model.shown(self.way.settings)) if streams else "one prompt",
            "seed": "none: the best tokens" if not self.way.speaks else decoding_text(self.way.settings),
        }
        return RunFacts(columns, f"{self.protocol}, {self.way.name}")


def answer_by_model(
    runs: Sequence[AskRun], asked: Sequence[Asked], staff: Staff, out: Path
) -> Generator[WorkEvent, None, None]:
    """Ask every question of every run that has no answer yet.

    Raises:
        ModelError: the model cannot be opened.
        OutputError: the folder cannot be used.
        SourceError: no video is there, or more than ``MOST_FAILURES`` cannot be read.
    """
    asked, missing = present(asked, "questions")
    most = len(runs) * len({each.video for each in asked})
    with (
        staff.crew(_answers, _video, _place, most) as crew,  # the folder is made once there are workers
        RecordFile(out / RESULTS_NAME, record_key) as results,
    ):
        yield from (WarningEvent(problem) for problem in results.problems)
        if missing:
            yield WarningEvent(missing)
        for event in crew.look(asked[0].question.prompt):
            if isinstance(event, WarningEvent):
                yield event
                continue
            facts, unknown = event.facts, event.unknown
        identities = {
            run.name: {"model": facts.fingerprint, **_where(facts), **run.identity()} for run in runs
        }
        keys = {
            (run.name, each.question.key): _key(identities[run.name], each) for run in runs for each in asked
        }
        pending = [
            (run, each) for run in runs for each in asked if keys[run.name, each.question.key] not in results
        ]
        num_done = sum(key in results for key in keys.values())
        yield WorkStart(f"{facts.name} on {facts.device} ({facts.dtype})", "answers", num_done, len(keys))
        yield from _lacking(unknown)
        yield from behind_the_end(list({id(each): each for _, each in pending}.values()))
        known = {each.question.key: each for each in asked}

        def store(run: AskRun, question: str, response: str) -> None:
            if keys[run.name, question] not in results:
                own = identities[run.name], run.facts(facts), known[question]
                results.add(_record(run, *own, response))

        yield from _answered(crew, _jobs(pending), store)
        results.sort(list(dict.fromkeys(keys.values())))


@dataclass(frozen=True, slots=True)
class AskJob:
    """Questions of a run about one video."""

    run: AskRun
    video: Path
    questions: tuple[Question, ...]


def _jobs(pending: Sequence[tuple[AskRun, Asked]]) -> list[AskJob]:
    """By run and video, in their order."""
    found: dict[tuple[str, Path], tuple[AskRun, list[Question]]] = {}
    for run, each in pending:
        found.setdefault((run.name, each.video), (run, []))[1].append(each.question)
    return [AskJob(run, video, tuple(questions)) for (_, video), (run, questions) in found.items()]


def _video(job: AskJob) -> str:
    return str(job.video)


def _place(job: AskJob) -> str:
    return f"{job.run.name}: questions about {job.video.name}"


def _answers(
    model: VideoLanguageModel, job: AskJob, signals: Signals, feeder: Feeder | None
) -> Iterator[tuple[str, str]]:
    """Keys of questions and the answers to them, as they come."""
    asker = ModelAsker(model, job.run.way, job.run.max_new_tokens, feeder)
    for question, response in asker.answers(job.video, job.questions):
        yield question.key, response
        if signals.should_stop():
            raise SvlmError("stopped", "run the same command again")


def _answered(
    crew: ModelCrew[AskJob], jobs: list[AskJob], store: Callable[[AskRun, str, str], None]
) -> Generator[WorkEvent, None, None]:
    """Ask, and store every answer; those that come again, as a worker was lost, are counted once."""
    failures = Failures()
    seen: set[tuple[str, str]] = set()
    with closing(crew.work(jobs)) as events:
        for heard in events:
            match heard:
                case WarningEvent():
                    yield heard
                case Came(job=job, event=(str() as question, str() as response)):
                    if (job.run.name, question) not in seen:
                        seen.add((job.run.name, question))
                        store(job.run, question, response)
                        yield WorkDone()
                case Ended(job=job, error=SourceError() | JobLostError() as error):
                    failures.count(error)
                    yield WarningEvent(f"{_place(job)} are left out: {error}")
                case Ended(error=BaseException() as error):
                    raise error


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
        times=lambda each, video: question_times(run.way, each.question, video),
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
                end = reader.length_seconds
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


def _lacking(unknown: Sequence[str]) -> Generator[WorkEvent, None, None]:
    """Say so where a small vocabulary cannot read the questions."""
    if unknown:
        yield WarningEvent(
            f"the model's vocabulary lacks {len(unknown)} words of the first question "
            f"({capped(list(unknown))}): its answers are worth nothing"
        )
