"""Many questions to an address at once, with failures counted and capped."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from svlm_cli.data.chat import NoReplyError

MOST_FAILURES = 10

JobT = TypeVar("JobT")
AnswerT = TypeVar("AnswerT")


def ask_all(
    jobs: Sequence[JobT], ask: Callable[[JobT], AnswerT], num_workers: int
) -> Generator[tuple[JobT, AnswerT | NoReplyError], None, None]:
    """Do jobs in any order; closing the generator begins no further one.

    Args:
        jobs: each is given to ``ask`` once, in a thread.
        ask: may raise ``NoReplyError``.
        num_workers: threads.

    Yields:
        Each job with its answer, or with why there is none.

    Raises:
        NoReplyError: one that would befall every other job too, or more than ``MOST_FAILURES`` of any kind.
    """
    pool = ThreadPoolExecutor(num_workers)
    try:
        futures = {pool.submit(ask, job): job for job in jobs}
        num_failed = 0
        for future in as_completed(futures):
            try:
                answer: AnswerT | NoReplyError = future.result()
            except NoReplyError as error:
                num_failed += 1
                if error.is_final or num_failed > MOST_FAILURES:
                    raise
                answer = error
            yield futures[future], answer
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
