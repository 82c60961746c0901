"""Questions beside a stream: what would it answer now? The stream goes on as if nobody had asked.

For benchmarks that ask many things of one video: it is streamed once, and each question sees what the
session holds at its second. A question stands where ``StreamSession.step_asked`` puts it, in the turn of its
clip. What it added to context and cache is taken away again: the cache's last tokens leave, and nothing that
was there is moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, speak, told
from svlm_cli.model.finite import check_logits, scores_of
from svlm_cli.model.prompt import Answer
from svlm_cli.settings import Sampling
from svlm_cli.stream.session import StreamSession
from svlm_cli.stream.sight import SeenClip
from svlm_cli.stream.step.feeding import unfed
from svlm_cli.stream.step.speech import WordPlans, word_plans
from svlm_cli.stream.trace import Stopwatch
from svlm_cli.types import Clip

BEST = Sampling(greedy=True, repetition_penalty=1.0)


class ProbedSession(StreamSession):
    """A session that can be asked aside and can watch in silence."""

    _is_silent = False

    @torch.inference_mode()
    def watch(self, clip: Clip | SeenClip) -> None:
        """Let a clip pass: its turn is answered with silence, as training writes a silent second.

        Raises:
            SourceError: see ``StreamSession.see``.
        """
        self._is_silent = True
        try:
            self._step(clip)
        finally:
            self._is_silent = False

    @torch.inference_mode()
    def reply(self, clip: Clip | SeenClip, question: str, max_new_tokens: int) -> str:
        """What would be answered to a question in the turn of this clip: the best tokens, without a penalty.

        As in ``StreamSession.step_asked`` the first line break ends the answer.

        Args:
            clip: the clip of the turn to come; ``watch`` or ``step`` may be given it afterwards.
            question: may have line breaks.
            max_new_tokens: most tokens of the answer.
        """
        with self._aside(clip, question) as (cache, logits):
            sampler = Sampler(BEST, self._model.device)
            sampler.begin((), clip.start_seconds)
            cache.reserve(cache.num_tokens + max_new_tokens)
            speech = speak(logits, sampler, max_new_tokens, self._speaker.ends_reply)
            plans = word_plans(speech, self._context.next_position, cache)
            drawn = told(plans, self._feeder.feed)
        return self._writer.read_answer(drawn, is_asked=True).reply

    @torch.inference_mode()
    def scores(
        self, clip: Clip | SeenClip, question: str, lead: str, candidates: Sequence[int]
    ) -> torch.Tensor:
        """How well each candidate goes on from ``lead``, the beginning of the answer: one forward.

        Args:
            clip, question: as in ``reply``.
            lead: text put into the model's mouth.
            candidates: token ids.

        Returns:
            Their logits, float32, shape (num_candidates,), on the CPU.
        """
        with self._aside(clip, question, lead) as (_, logits):
            return scores_of(logits, candidates, clip.start_seconds)

    @contextmanager
    def _aside(
        self, clip: Clip | SeenClip, question: str, lead: str = ""
    ) -> Iterator[tuple[StreamingCache, torch.Tensor]]:
        """Write and feed the turn of a question; at the end take it away."""
        seen = self.see(clip) if isinstance(clip, Clip) else clip
        videos, turn = dict(self._videos), self._turn
        self._videos[turn] = seen.video
        cache, feed = self._ready_cache(seen), self._feeder.feed
        told(self._make_room(Stopwatch(self._model.device, self._clock)), feed)
        layout, states = self._context.mark(), cache.mark()
        try:
            self._context.append(self._turns.parts(turn, seen, self._context, question))
            if lead:
                words = self._writer.encode(lead)
                self._context.append(self._writer.answer_parts(turn, Answer(words, (), lead)))
            yield cache, feed(unfed(self._context, cache, self._videos))
        finally:
            cache.back_to(states)
            self._context.back_to(layout)
            self._videos = videos

    def _speak(self, logits: torch.Tensor, at_seconds: float, *, is_asked: bool) -> WordPlans:
        if not self._is_silent:
            return (yield from super()._speak(logits, at_seconds, is_asked=is_asked))
        check_logits(logits, at_seconds)
        return list(self._writer.spoken(""))
