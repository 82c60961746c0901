"""Frames and a question in one prompt, as any video model is asked: what streaming is compared with.

Shape legend: T = frames, v = vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from svlm_cli.model import positions
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, speak, told
from svlm_cli.model.finite import LogitsCheck, scores_of
from svlm_cli.model.patches import clip_to_patches
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import VideoFeatures, frames_of
from svlm_cli.model.window import Span, SpanKind
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.probe import BEST
from svlm_cli.stream.sight import within_limits
from svlm_cli.stream.step.feeding import Feeder, LoneFeeder, PrefillPlan, WordPlan
from svlm_cli.stream.step.speech import word_plans


class PlainPrompt:
    """Asks a model about frames that are all in its prompt.

    Args:
        model: a loaded checkpoint.
        settings: the settings, which have the pixel limits.
        feeder: computes what is asked for; one of its own where None.
    """

    def __init__(
        self, model: VideoLanguageModel, settings: StreamSettings, feeder: Feeder | None = None
    ) -> None:
        self._model = model
        self._feeder = feeder or LoneFeeder(model)
        self._patches = within_limits(model.patches, settings)
        self._writer = PromptWriter(model.tokenizer, model.markup)

    @torch.inference_mode()
    def look(self, frames: np.ndarray) -> VideoFeatures:
        """The features of frames, to be asked about more than once.

        Args:
            frames: uint8 RGB, shape (T, height, width, 3).

        Raises:
            SourceError: they are too long and thin.
        """
        return self._model.encode_video(clip_to_patches(frames, self._patches))

    @torch.inference_mode()
    def reply(self, video: VideoFeatures, fps: float, question: str, max_new_tokens: int) -> str:
        """The answer to a question about frames: the best tokens, without a penalty.

        Args:
            video: what ``look`` gave.
            fps: frames per second they stand for.
            question: what is asked.
            max_new_tokens: most tokens of the answer.
        """
        with self._fed(video, fps, question, "", max_new_tokens) as (cache, logits, position):
            sampler = Sampler(BEST, self._model.device)
            sampler.begin(())
            speech = speak(logits, sampler, max_new_tokens, self._model.markup.ends.__contains__)
            plans = word_plans(speech, position, cache)
            drawn = told(plans, self._feeder.feed)
        return self._writer.read_answer(drawn).text

    @torch.inference_mode()
    def scores(
        self, video: VideoFeatures, fps: float, question: str, lead: str, candidates: Sequence[int]
    ) -> torch.Tensor:
        """Logits of candidate tokens after ``lead``, the beginning of the answer: one forward.

        Returns:
            float32, shape (num_candidates,), on the CPU.
        """
        with self._fed(video, fps, question, lead, 0) as (_, logits, _):
            return scores_of(logits, candidates)

    @torch.inference_mode()
    def log_likelihood(
        self, video: VideoFeatures, fps: float, question: str, answer: str
    ) -> tuple[float, bool]:
        """How likely an answer is, and whether it is what greedy decoding says.

        Returns:
            The sum of the log-probabilities of its tokens, and whether each is the best.
        """
        ids = self._writer.encode_plain(answer)
        total, is_best, check = 0.0, True, LogitsCheck()
        with self._fed(video, fps, question, "", len(ids)) as (cache, logits, position):
            for number, token in enumerate(ids):
                check.note(logits)
                chances = torch.log_softmax(logits.float(), dim=-1)
                total += float(chances[token])
                is_best = is_best and int(chances.argmax()) == token
                if number + 1 < len(ids):
                    logits = self._feeder.feed(WordPlan(token, position + number, cache))
        check.read()
        return total, is_best

    @contextmanager
    def _fed(
        self, video: VideoFeatures, fps: float, question: str, lead: str, num_more: int
    ) -> Iterator[tuple[StreamingCache, torch.Tensor, float]]:
        """Feed the prompt: its cache, the logits after it, shape (v,), and the next position."""
        model = self._model
        depth = model.patches.temporal_patch_size
        stride = model.patches.stride(fps, model.tokens_per_second)
        parts = self._writer.plain(video.grid, question, video.grid[0] * depth / fps)
        spans = [part.span for part in parts]
        ids = [token for part in parts for token in part.ids]
        if lead:
            words = self._writer.encode(lead)
            spans.append(Span(SpanKind.WORDS, 0, len(words)))
            ids += words
        rows = positions.rows(spans, stride)
        cache = model.new_cache(len(ids) + num_more)
        frames = frames_of(spans, {0: video})
        logits = self._feeder.feed(PrefillPlan(np.array(ids), rows, frames, cache))
        yield cache, logits, positions.span_starts(spans, stride)[-1]
