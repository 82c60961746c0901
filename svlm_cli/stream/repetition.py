"""A model that has got stuck: the same words, or the same few seconds of words, again and again.

Silence is no fault (a quiet match is silent); words that come round and round for a minute are.
"""

from __future__ import annotations

from collections import deque

from svlm_cli.text import visible
from svlm_cli.types import StepEvent

TOLD_AFTER_SECONDS = 60.0
MOST_STEPS = 3  # of a round
LEAST_ROUNDS = 3
SHOWN_LETTERS = 60


class Repetition:
    """Watches the words of one stream for rounds of one to ``MOST_STEPS`` steps."""

    def __init__(self) -> None:
        self._last: deque[StepEvent] = deque(maxlen=MOST_STEPS)
        # By steps of a round: where the first of an unbroken row of rounds began, and how many steps it has.
        self._since = [0.0] * (MOST_STEPS + 1)
        self._num_steps = [0] * (MOST_STEPS + 1)
        self._told = 0

    def add(self, step: StepEvent) -> str:
        """Take one more step.

        Returns:
            What is to be said of it: once, until the words change; mostly nothing.
        """
        for size in range(1, MOST_STEPS + 1):
            self._follow(size, step)
        self._last.append(step)
        if self._told and self._num_steps[self._told]:
            return ""
        self._told = next((size for size in range(1, MOST_STEPS + 1) if self._is_stuck(size, step)), 0)
        return self._sentence(step) if self._told else ""

    def _follow(self, size: int, step: StepEvent) -> None:
        before = self._last[-size] if size <= len(self._last) else None
        if before is None or before.text != step.text:
            self._num_steps[size] = 0
            return
        if not self._num_steps[size]:
            self._since[size], self._num_steps[size] = self._last[-size].start_seconds, size
        self._num_steps[size] += 1

    def _is_stuck(self, size: int, step: StepEvent) -> bool:
        return (
            self._num_steps[size] >= LEAST_ROUNDS * size
            and step.end_seconds - self._since[size] >= TOLD_AFTER_SECONDS
            and any(each.text for each in list(self._last)[-size:])
        )

    def _sentence(self, step: StepEvent) -> str:
        texts = [visible(each.text) for each in list(self._last)[-self._told :] if each.text]
        words, since = " / ".join(texts), self._since[self._told]
        if len(words) > SHOWN_LETTERS:
            words = f"{words[:SHOWN_LETTERS]}..."
        seconds = step.end_seconds - since
        return f'the model has said the same for {seconds:.0f} s, since {since:.1f} s: "{words}"'
