"""Streams as their outputs see them: random words, and a process that is killed again and again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import EndEvent, StepEvent

END = EndEvent(2, 2.0, 1.0, 2.0, 0.5, 0.6, 0.7, 1000, 0)
WORDS = ("a", "goal", "by", "the", "captain", "who", "waited", "all", "&", "<b>", "pass", "足球", "naïve")


def said(rng: random.Random, num_steps: int, rate: float, *, sentences: bool = True) -> list[StepEvent]:
    """Steps of a second of random words, each word numbered; some silent, some seconds skipped."""
    events, now, number = [], 0.0, 0
    for index in range(num_steps):
        now += rng.choice((0.0,) * 12 + (3.0,))
        words = []
        if rng.random() > 0.25:
            while sum(map(len, words)) + len(words) < rate * rng.uniform(0.3, 1.0):
                words.append(f"{rng.choice(WORDS)}{number}")
                number += 1
            if sentences and words and rng.random() < 0.3:
                words[-1] += rng.choice((".", "!", "?", '."'))
        events.append(StepEvent(index, now, now + 1.0, " ".join(words), 2, 7, 8, 5))
        now += 1.0
    return events


def write_over_kills(
    rng: random.Random,
    events: Sequence[StepEvent],
    writers_of: Callable[[], Writers],
    seconds: Sequence[int],
    *,
    is_file: bool = True,
    begin: Callable[[Writers], None] = lambda _: None,
) -> None:
    """Write all events and the end.

    Args:
        rng: draws when a state is saved.
        events: one a second.
        writers_of: opens the outputs.
        seconds: in which it is killed, ascending; each run saves its state in one of its seconds before.
        is_file: a file is read again from where its state was saved, a live source goes on.
        begin: what each run does first.
    """
    saved, at = None, 0
    for last in [*seconds, None]:
        writers = writers_of()
        if saved is not None:
            writers.resume(saved)
        begin(writers)
        save_at = rng.randrange(at, last) if last is not None else -1
        for number, event in list(enumerate(events))[at:last]:
            writers.write(event)
            if number == save_at:
                saved = Earlier(writers.lengths, event.end_seconds, is_file, writers.held)
        if last is None:
            writers.write(END)
            writers.finish()
        else:
            at = save_at + 1 if is_file else last
            writers.close()  # as a kill does: nothing more is written
