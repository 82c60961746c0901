"""Choosing the next token and the loop that speaks one turn.

Sampling is transformers' own: repetition penalty over the kept context, then temperature, top-k,
top-p. Greedy keeps the penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from svlm_cli.settings import Sampling


class Sampler:
    """Draws tokens from logits; one per stream, so that a seed fixes the whole stream.

    Args:
        sampling: what to draw and how.
        device: where logits live.
    """

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self._sampling = sampling
        self._device = device
        self._generator = torch.Generator(device=device).manual_seed(sampling.seed)
        self._processors = _processors(sampling)
        self._seen = torch.zeros((1, 0), dtype=torch.long, device=device)

    @property
    def state(self) -> torch.Tensor:
        """Of the random generator: uint8, shape (bytes,), on the CPU."""
        return self._generator.get_state()

    @state.setter
    def state(self, saved: torch.Tensor) -> None:
        self._generator.set_state(saved)

    def begin(self, context_ids: Iterable[int]) -> None:
        """Start a turn over a context; the penalty needs its distinct ids only, in any order."""
        self._seen = torch.tensor([sorted(set(context_ids))], dtype=torch.long, device=self._device)

    def draw(self, logits: torch.Tensor) -> int:
        """The next token.

        Args:
            logits: shape (vocabulary,), any float dtype.
        """
        scores = self._processors(self._seen, logits[None].float())
        if self._sampling.greedy:
            token = scores.argmax(dim=-1)
        else:
            weights = torch.softmax(scores, dim=-1)
            token = torch.multinomial(weights, 1, generator=self._generator)[:, 0]
        self._seen = torch.cat([self._seen, token[:, None]], dim=1)
        return int(token.item())


def _processors(sampling: Sampling) -> LogitsProcessorList:
    processors = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.greedy:
        return processors
    if sampling.temperature != 1.0:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        processors.append(TopPLogitsWarper(sampling.top_p))
    return processors


def speak(
    logits: torch.Tensor,
    feed: Callable[[int], torch.Tensor],
    sampler: Sampler,
    max_new_tokens: int,
    is_end: Callable[[int], bool],
) -> list[int]:
    """Generate one answer.

    Args:
        logits: of the last prompt token, shape (vocabulary,).
        feed: feeds one generated token and returns the logits after it, shape (vocabulary,).
        sampler: already begun for this turn.
        max_new_tokens: most tokens to draw.
        is_end: whether a token ends the answer.

    Returns:
        The drawn ids; the last one has not been fed.
    """
    drawn = [sampler.draw(logits)]
    while not is_end(drawn[-1]) and len(drawn) < max_new_tokens:
        drawn.append(sampler.draw(feed(drawn[-1])))
    return drawn
