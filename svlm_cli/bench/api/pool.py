"""Many questions to an address at once: answers stored as they come, failures counted and capped.

The thread that asked stores the answer, so that none that came is lost, whatever ends the work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from svlm_cli.bench.common.events import WorkDone, WorkEvent, WorkStart, capped
from svlm_cli.bench.common.records import Record, RecordFile
from svlm_cli.bench.common.work import MOST_FAILURES, Failures
from svlm_cli.chat import Chat, NoReplyError
from svlm_cli.errors import SourceError
from svlm_cli.types import WarningEvent

FAILED_SHARE = 0.02  # of much work, so many may fail
KEY_HINT = "set OPENAI_API_KEY, or give --base-url"

JobT = TypeVar("JobT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Work(Generic[JobT, AnswerT]):
    """Questions whose answers make one file of records.

    Args:
        title: who answers, for the first event.
        unit: what an answer is, as a plural.
        path: the path of the file.
        key_of: the key of a record.
        jobs: the jobs by key, in the order the file shall have.
        ask: one question, in a thread; may raise ``NoReplyError`` or ``SourceError``.
        record: the record of an answer.
        place: the place of a job, for people.
    """

    title: str
    unit: str
    path: Path
    key_of: Callable[[Record], Hashable]
    jobs: Mapping[Hashable, JobT]
    ask: Callable[[Chat, JobT], AnswerT]
    record: Callable[[JobT, AnswerT], Record]
    place: Callable[[JobT], str]

    def left(self) -> list[JobT]:
        """The jobs that have no record yet; nothing is written."""
        if not self.path.exists():
            return list(self.jobs.values())
        with RecordFile(self.path, self.key_of, is_claimed=False) as records:
            return [job for key, job in self.jobs.items() if key not in records]

    def run(self, model: str, base_url: str | None, num_workers: int) -> Generator[WorkEvent, None, None]:
        """Ask for every record that is not there.

        Args:
            model: its name at the address.
            base_url: the URL of the address; None for OpenAI's own.
            num_workers: questions at once.

        Raises:
            NoReplyError, SourceError: see ``ask_all``; records so far are kept.
            OutputError: the file cannot be used.
            SvlmError: a key is needed and there is none.
        """
        with RecordFile(self.path, self.key_of) as records:
            yield from (WarningEvent(problem) for problem in records.problems)
            left = [key for key in self.jobs if key not in records]
            yield WorkStart(self.title, self.unit, len(self.jobs) - len(left), len(self.jobs))
            failed: list[str] = []
            if left:
                chat = Chat(model, base_url, KEY_HINT)
                lock = Lock()

                def answer_one(key: Hashable) -> None:
                    answer = self.ask(chat, self.jobs[key])
                    with lock:
                        records.add(self.record(self.jobs[key], answer))

                for key, problem in ask_all(left, answer_one, num_workers, most_failures(len(self.jobs))):
                    if problem is None:
                        yield WorkDone()
                    else:
                        failed.append(f"{self.place(self.jobs[key])}: {problem.message}")
            records.sort(list(self.jobs))
        if failed:
            yield WarningEvent(
                f"{len(failed)} {self.unit} are missing; the same command asks again: {capped(failed, 3)}"
            )


def most_failures(num_jobs: int) -> int:
    """How many of some questions may fail before asking on is pointless."""
    return max(MOST_FAILURES, int(num_jobs * FAILED_SHARE))


def ask_all(
    jobs: Sequence[JobT], ask: Callable[[JobT], AnswerT], num_workers: int, most_failed: int = MOST_FAILURES
) -> Generator[tuple[JobT, AnswerT | NoReplyError | SourceError], None, None]:
    """Do jobs in any order; nothing further begins once it has raised or was closed.

    Before it raises it waits for jobs that have begun; when it is closed these end by themselves.

    Args:
        jobs: each is given to ``ask`` once, in a thread.
        ask: may raise ``NoReplyError`` or ``SourceError``.
        num_workers: threads.
        most_failed: jobs that may fail.

    Yields:
        Each job with its answer, or with why there is none.

    Raises:
        NoReplyError: one that would befall every other job too.
        NoReplyError, SourceError: after more than ``most_failed`` of any kind.
    """
    pool = ThreadPoolExecutor(num_workers)
    waits = False
    try:
        futures = {pool.submit(ask, job): job for job in jobs}
        failures = Failures(most_failed)
        for future in as_completed(futures):
            try:
                answer: AnswerT | NoReplyError | SourceError = future.result()
            except (NoReplyError, SourceError) as error:
                if isinstance(error, NoReplyError) and error.is_final:
                    raise
                failures.count(error)
                answer = error
            yield futures[future], answer
    except Exception:
        waits = True  # for what is on its way; somebody who stops it by hand does not wait
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)
