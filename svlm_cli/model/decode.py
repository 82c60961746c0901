"""Choosing the next token and the loop that speaks one turn.

Sampling is transformers' own (repetition penalty over the kept context, temperature, top-k, top-p), written
out so that a word costs little and drawing is among the best k alone; a test compares the probabilities.
Greedy keeps the penalty.

Shape legend: v = vocabulary, k = candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import numpy as np
import torch

from svlm_cli.model.device import to_device
from svlm_cli.model.finite import LogitsCheck
from svlm_cli.settings import Sampling

Asked = TypeVar("Asked")
Said = TypeVar("Said")
Speech = Generator[int, torch.Tensor, list[int]]


class Sampler:
    """Draws tokens from logits; one per stream, so that a seed fixes the whole stream.

    Args:
        sampling: what to draw and how.
        device: where logits live.
    """

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self._sampling = sampling
        self._device = device
        # On the host wherever logits live: a CUDA generator's state is another, which no CPU goes on from.
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._seen = torch.zeros(0, dtype=torch.long, device=device)
        self._check = LogitsCheck()

    @property
    def state(self) -> torch.Tensor:
        """Of the random generator: uint8, shape (bytes,), on the CPU."""
        return self._generator.get_state()

    @state.setter
    def state(self, saved: torch.Tensor) -> None:
        self._generator.set_state(saved)

    def begin(self, context_ids: Sequence[int] | np.ndarray, at_seconds: float | None = None) -> None:
        """Start a turn over a context.

        Args:
            context_ids: the penalty needs its distinct ids only, in any order.
            at_seconds: the time in the stream, for errors; None where there is no such time.
        """
        self._check = LogitsCheck(at_seconds)
        seen = np.unique(np.asarray(context_ids, dtype=np.int64))
        self._seen = to_device(torch.from_numpy(seen), self._device)

    def draw(self, logits: torch.Tensor) -> int:
        """The next token.

        Args:
            logits: shape (v,), any float dtype.

        Raises:
            ModelError: too few of them are finite to draw from.
        """
        self._check.note(logits)
        if self._sampling.greedy:
            token = self._penalised(logits).argmax(dim=0, keepdim=True)
        else:
            candidates, weights = self.candidates(logits)
            # What torch.multinomial does for one draw, without its checks.
            noise = torch.empty_like(weights, device="cpu").exponential_(generator=self._generator)
            best = (weights / to_device(noise, self._device)).argmax(dim=0, keepdim=True)
            token = candidates.index_select(0, best)
        self._seen = torch.cat([self._seen, token])
        return int(token.item())

    def end(self) -> None:
        """End a turn, or a part of it.

        Raises:
            ModelError: logits that were drawn from since the last call were not all finite.
        """
        self._check.read()

    def candidates(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids that may be drawn where it is not greedy, ascending, and their probabilities.

        Top-k comes first, as temperature does not change which are the best; ids as good as the k-th stay
        in. Top-p keeps the fewest best ids that hold its share.

        Args:
            logits: shape (v,), any float dtype.

        Returns:
            int64 and float32, both of shape (k,).

        Raises:
            ModelError: as many logits as are drawn among are NaN.
        """
        sampling, scores = self._sampling, self._penalised(logits)
        least = scores.topk(min(sampling.top_k, scores.shape[0])).values[-1]
        candidates = (scores >= least).nonzero().view(-1)
        if not candidates.shape[0]:
            self._check.fail()
        weights = torch.softmax(scores.index_select(0, candidates) / sampling.temperature, dim=0)
        if sampling.top_p < 1.0:
            ordered, places = weights.sort()
            kept = ordered.cumsum(0) > 1 - sampling.top_p
            kept[-1] = True
            places = places[kept].sort().values
            candidates, weights = candidates[places], weights[places] / weights[places].sum()
        return candidates, weights

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        """float32 scores (v,), those of tokens seen before made smaller; ``logits`` stay as they are."""
        scores, penalty = logits.float(), self._sampling.repetition_penalty
        if penalty == 1.0:
            return scores
        seen = scores.index_select(0, self._seen)
        return scores.scatter(0, self._seen, torch.where(seen < 0, seen * penalty, seen / penalty))


def speak(
    logits: torch.Tensor,
    sampler: Sampler,
    max_new_tokens: int,
    is_end: Callable[[int], bool],
) -> Speech:
    """Generate one answer.

    Args:
        logits: the logits of the last prompt token, shape (v,).
        sampler: already begun for this turn.
        max_new_tokens: most tokens to draw.
        is_end: whether a token ends the answer.

    Yields:
        Each drawn token but the last, to be fed; is sent the logits after it, shape (v,).

    Returns:
        The drawn ids; the last one has not been fed.

    Raises:
        ModelError: logits were not finite; looked at once, behind the last.
    """
    drawn = [sampler.draw(logits)]
    while not is_end(drawn[-1]) and len(drawn) < max_new_tokens:
        drawn.append(sampler.draw((yield drawn[-1])))
    sampler.end()
    return drawn


def told(speech: Generator[Asked, torch.Tensor, Said], feed: Callable[[Asked], torch.Tensor]) -> Said:
    """What is said in the end by whoever asks for tokens to be fed, when ``feed`` feeds them."""
    logits = None
    while True:
        try:
            asked = next(speech) if logits is None else speech.send(logits)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        logits = feed(asked)
