"""One stream through one model: a clip in, the words of its second out.

A step evicts what the window rule drops, writes the new turn, feeds it, and speaks. See
docs/concepts.md for the picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, speak
from svlm_cli.model.patches import PatchSettings, clip_to_patches
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import Answer, Part, PromptWriter
from svlm_cli.model.runtime import Video, VideoLanguageModel
from svlm_cli.model.window import SpanKind, WindowLimits, middle_cut
from svlm_cli.settings import Policy, Positions, StreamSettings
from svlm_cli.stream.context import Context
from svlm_cli.types import Clip, StepEvent, StepTimings

TOKENS_OF_MARKUP = 40
MAX_TURNS_RESERVED = 32
MAX_TEXT_RESERVED = 4096


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One step for debugging and for comparing engines (``svlm stream --trace``).

    Args:
        step: its number.
        context_ids: every token the model attends to or is fed before it speaks, in order.
        position_ids: three rows, counted from 0 over ``context_ids``.
        generated_ids: as appended to the history.
        num_cached: tokens with KV states after the step.
    """

    step: int
    context_ids: list[int]
    position_ids: list[list[float]]
    generated_ids: list[int]
    num_cached: int


class StreamSession:
    """The state of one stream: its context, its cache, its random generator.

    Args:
        model: a loaded checkpoint.
        settings: what to show it, what to keep, how to speak.
        trace: called once per step, before the step's event is returned.
        clock: seconds, for the steps' timings: wall time, or ``time.process_time`` where others
            share the machine.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        settings: StreamSettings,
        trace: Callable[[TraceRecord], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._settings = settings
        self._trace = trace
        self._clock = clock
        self._writer = PromptWriter(model.tokenizer, model.markup)
        self._patches = _patch_settings(model.patches, settings)
        self._sampler = Sampler(settings.sampling, model.device)
        self._limits = WindowLimits(
            settings.sink, settings.text_window, settings.vision_turns, settings.rounds
        )
        self._turn = 0
        self._videos: dict[int, Video] = {}
        self._cache: StreamingCache | None = None
        self._context = self._new_context()

    @property
    def context(self) -> Context:
        """The tokens kept so far."""
        return self._context

    @property
    def cache(self) -> StreamingCache:
        """Their KV states.

        Raises:
            RuntimeError: before the first step.
        """
        if self._cache is None:
            raise RuntimeError("no step has run yet")
        return self._cache

    @property
    def unknown_words(self) -> list[str]:
        """Words of the query and the opening text outside the model's vocabulary."""
        return self._writer.unknown_words(f"{self._settings.opening_text} {self._settings.query}")

    @torch.inference_mode()
    def step(self, clip: Clip) -> StepEvent:
        """Show the model one clip and let it speak.

        Raises:
            SourceError: the clip cannot be cut into patches (one side over 200 times the other).
        """
        watch = _Stopwatch(self._model.device, self._clock)
        patches = clip_to_patches(clip.frames, self._patches)
        watch.lap("read")
        self._videos[self._turn] = self._model.encode_video(patches)
        watch.lap("vision")
        cache = self._ready_cache()
        self._make_room(cache, watch)
        self._context.append(self._turn_parts(clip))
        watch.lap("cache")
        logits = self._feed(cache)
        watch.lap("prefill")
        drawn = self._speak(cache, logits)
        watch.lap("decode")
        answer = self._finish(cache, drawn)
        watch.lap("cache")
        return self._event(clip, answer, len(drawn), cache, watch)

    def _new_context(self) -> Context:
        vision = self._model.patches
        stride = time_stride(self._settings.fps, vision.temporal_patch_size, self._model.tokens_per_second)
        return Context(stride, grows=self._settings.positions is Positions.GROWING)

    def _ready_cache(self) -> StreamingCache:
        if self._cache is None:
            self._cache = self._model.new_cache(self._expected_tokens())
        return self._cache

    def _expected_tokens(self) -> int:
        """Tokens to make room for at first, from the first clip's size; growing is always possible."""
        settings = self._settings
        num_video = self._videos[self._turn].features.shape[0]
        per_turn = TOKENS_OF_MARKUP + settings.sampling.max_new_tokens
        if settings.policy in (Policy.STREAMING, Policy.RECOMPUTE):
            text = min(settings.sink + settings.text_window, MAX_TEXT_RESERVED)
            turns = max(settings.vision_turns, settings.rounds)
            return text + turns * per_turn + (settings.vision_turns + 1) * num_video
        turns = MAX_TURNS_RESERVED
        if settings.policy is Policy.WINDOW:
            turns = min(turns, settings.restart_turns)
        return turns * (per_turn + num_video)

    def _make_room(self, cache: StreamingCache, watch: _Stopwatch) -> None:
        """Drop what the policy drops before the next turn is written."""
        policy = self._settings.policy
        if self._turn == 0 or policy is Policy.FULL:
            return
        if policy is Policy.WINDOW:
            if self._turn % self._settings.restart_turns == 0:
                cache.clear()
                self._context = self._new_context()
        elif policy is Policy.RECOMPUTE:
            self._context.evict(self._turn, self._limits, rotate=False)
            cache.clear()
            self._context.refeed(0)
        else:
            if self._settings.rounds == 1:
                watch.lap("cache")
                self._feed(cache)
                watch.lap("prefill")
            move = self._context.evict(self._turn, self._limits)
            cache.evict(move.kept)
            cache.shift(move.shifts[: cache.num_tokens])
            self._context.refeed(cache.num_tokens)

    def _turn_parts(self, clip: Clip) -> list[Part]:
        """What this turn adds to the layout, the opening included where the context is empty."""
        settings, turn = self._settings, self._turn
        opens = not self._context.spans
        user = self._writer.turn(
            turn,
            clip.start_seconds,
            clip.end_seconds,
            self._videos[turn].grid,
            query=settings.query if opens else "",
        )
        if opens:
            return [*self._opening(), *user]
        if self._writer.ends_in_break(self._context.ids[-4:].tolist()):
            return user
        return [self._writer.turn_break(turn - 1), *user]

    def _opening(self) -> list[Part]:
        settings = self._settings
        text = settings.opening_text if self._turn == 0 else ""
        if settings.policy not in (Policy.STREAMING, Policy.RECOMPUTE):
            return self._writer.opening(text)
        num_tokens = len(self._writer.encode_plain(text))
        return self._writer.opening(text, middle_cut(num_tokens, self._limits))

    def _feed(self, cache: StreamingCache) -> torch.Tensor:
        """Feed every token of the layout that has no states yet; logits after the last."""
        num_fed = cache.num_tokens
        cache.reserve(len(self._context.ids))
        return self._model.forward(self._embeddings(num_fed), self._context.rows_from(num_fed), cache)

    def _embeddings(self, num_fed: int) -> torch.Tensor:
        """Embeddings of the tokens behind the first ``num_fed``, frames' features in their places."""
        embeddings = self._model.embed(self._context.ids[num_fed:].tolist())
        start = -num_fed
        for span in self._context.spans:
            if span.kind is SpanKind.VIDEO and start >= 0:
                embeddings[start : start + span.num_tokens] = self._videos[span.turn].features
            start += span.num_tokens
        return embeddings

    def _speak(self, cache: StreamingCache, logits: torch.Tensor) -> list[int]:
        """Draw the answer's tokens, feeding all but the last."""
        self._sampler.begin(np.unique(self._context.ids).tolist())
        position = self._context.next_position
        fed = 0

        def feed(token: int) -> torch.Tensor:
            nonlocal fed
            rows = np.full((3, 1), position + fed)
            fed += 1
            return self._model.forward(self._model.embed([token]), rows, cache)

        max_new_tokens = self._settings.sampling.max_new_tokens
        cache.reserve(len(self._context.ids) + max_new_tokens)
        return speak(logits, feed, self._sampler, max_new_tokens, self._model.markup.ends)

    def _finish(self, cache: StreamingCache, drawn: list[int]) -> Answer:
        """Add the answer to the layout and forget frames that live on in states alone."""
        turn_end = self._model.markup.turn_end
        answer = self._writer.read_answer(drawn if drawn[-1] == turn_end else [*drawn, turn_end])
        if self._trace is not None:
            self._trace(
                TraceRecord(
                    step=self._turn,
                    context_ids=self._context.ids.tolist(),
                    position_ids=self._context.rows().tolist(),
                    generated_ids=[*answer.words, *answer.tail],
                    num_cached=cache.num_tokens,
                )
            )
        self._context.append(self._writer.answer_parts(self._turn, answer))
        oldest = self._turn + 1
        if self._settings.policy is Policy.RECOMPUTE:
            oldest -= self._settings.vision_turns - 1
        self._videos = {turn: video for turn, video in self._videos.items() if turn >= oldest}
        self._turn += 1
        return answer

    def _event(
        self, clip: Clip, answer: Answer, num_drawn: int, cache: StreamingCache, watch: _Stopwatch
    ) -> StepEvent:
        laps = watch.laps
        laps["read"] += clip.read_seconds
        return StepEvent(
            index=clip.index,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            text=answer.text,
            num_frames=clip.num_frames,
            num_new_tokens=num_drawn,
            num_cached_tokens=cache.num_tokens,
            num_vision_tokens=sum(span.num_tokens for span in self._context.spans if span.grid is not None),
            timings=StepTimings(**laps, total=sum(laps.values())),
        )


def _patch_settings(own: PatchSettings, settings: StreamSettings) -> PatchSettings:
    """The checkpoint's patch settings with the user's pixel limits, if any."""
    return replace(
        own,
        min_pixels=settings.min_pixels or min(own.min_pixels, settings.max_pixels or own.min_pixels),
        max_pixels=settings.max_pixels or max(own.max_pixels, settings.min_pixels or own.max_pixels),
    )


class _Stopwatch:
    """Seconds by stage; waits for the device where its work would run on unseen."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self._device = device
        self._clock = clock
        self.laps = dict.fromkeys(("read", "vision", "prefill", "decode", "cache"), 0.0)
        self._last = clock()

    def lap(self, stage: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = self._clock()
        self.laps[stage] += now - self._last
        self._last = now
