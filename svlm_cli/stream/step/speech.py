"""The words of a turn, one after another: each is drawn, and all but the last are asked to be fed."""

from __future__ import annotations

from collections.abc import Generator

import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, Speech, speak
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.settings import Sampling
from svlm_cli.stream.context import Context
from svlm_cli.stream.step.feeding import WordPlan

CERTAIN = 100.0  # above any other logit behind penalty and temperature
WordPlans = Generator[WordPlan, torch.Tensor, list[int]]


class Speaker:
    """Speaks the turns of one stream.

    Args:
        sampling: how words are drawn, and how many at most.
        writer: the model's writer of prompts.
        device: where logits live.
    """

    def __init__(self, sampling: Sampling, writer: PromptWriter, device: torch.device) -> None:
        self.sampler = Sampler(sampling, device)
        self._sampling = sampling
        self._writer = writer

    def speak(
        self,
        logits: torch.Tensor,
        context: Context,
        cache: StreamingCache,
        at_seconds: float,
        *,
        is_asked: bool,
    ) -> WordPlans:
        """Speak one turn.

        Args:
            logits: the logits of the last token of the layout, shape (v,).
            context: all of it is fed.
            cache: room is made for the most that may be said.
            at_seconds: the time in the stream, for errors.
            is_asked: the turn holds a question, whose answer comes first.

        Yields:
            What is to be fed; is sent the logits after it.

        Returns:
            The drawn ids; the last one has not been fed.

        Raises:
            ModelError: logits are not finite.
        """
        self.sampler.begin(context.ids, at_seconds)
        sampling = self._sampling
        most = sampling.max_new_tokens + (sampling.max_answer_tokens if is_asked else 0)
        cache.reserve(len(context.ids) + most)
        return (yield from word_plans(self._tokens(logits, is_asked=is_asked), context.next_position, cache))

    def ends_reply(self, token: int) -> bool:
        """Whether a token ends the answer to a question."""
        return token in self._writer.markup.ends or self._writer.ends_line(token)

    def _tokens(self, logits: torch.Tensor, *, is_asked: bool) -> Speech:
        sampler, sampling = self.sampler, self._sampling
        is_end = self._writer.markup.ends.__contains__
        if not is_asked:
            return (yield from speak(self._decided(logits), sampler, sampling.max_new_tokens, is_end))
        replied = yield from speak(logits, sampler, sampling.max_answer_tokens, self.ends_reply)
        if is_end(replied[-1]) or not self._writer.ends_line(replied[-1]):
            return replied
        logits = self._decided((yield replied[-1]))
        return [*replied, *(yield from speak(logits, sampler, sampling.max_new_tokens, is_end))]

    def _decided(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of a second's first token: silence is certain or ruled out where a threshold says so.

        So it stays whatever the repetition penalty multiplies or divides and whatever the temperature.
        """
        sampling = self._sampling
        if sampling.silence_threshold is None:
            return logits
        silence, decided = self._writer.silence, logits.float()
        is_silent = bool(torch.softmax(decided, dim=-1)[silence] >= sampling.silence_threshold)
        reach = max(sampling.repetition_penalty, 1 / sampling.repetition_penalty)
        beyond = (decided.abs().max() * reach + CERTAIN * max(1.0, sampling.temperature)) * reach
        decided = decided.clone()
        decided[silence] = beyond if is_silent else -beyond
        return decided


def word_plans(speech: Speech, position: float, cache: StreamingCache) -> WordPlans:
    """Speech as it is to be fed over a cache: the first token at ``position``, the others behind it."""
    num_fed = 0
    try:
        token = next(speech)
        while True:
            token = speech.send((yield WordPlan(token, position + num_fed, cache)))
            num_fed += 1
    except StopIteration as end:
        drawn: list[int] = end.value
        return drawn
