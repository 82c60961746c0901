"""One stream through one model: a clip in, the words of its second out.

A step evicts what the window rule drops, writes the new turn, feeds it, and speaks. See
docs/concepts.md for the picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, speak
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import Answer, Part, PromptWriter
from svlm_cli.model.runtime import VideoFeatures, VideoLanguageModel
from svlm_cli.model.window import SpanKind, WindowLimits, middle_cut
from svlm_cli.model.words import Words
from svlm_cli.settings import Positions, StreamSettings
from svlm_cli.stream.context import Context, tokens_to_reserve
from svlm_cli.stream.sight import SeenClip, Sight
from svlm_cli.stream.snapshot import Snapshot
from svlm_cli.stream.trace import Stopwatch, TraceRecord
from svlm_cli.types import AnswerEvent, Clip, StepEvent, StepTimings

CACHE_TENSORS = ("keys", "values", "originals", "slots", "shifts", "has_original")


class StreamSession:
    """The state of one stream: its context, its cache, its random generator.

    Args:
        model: a loaded checkpoint.
        settings: what to show it, what to keep, how to speak.
        trace: called once per step, before the step's event is returned.
        clock: seconds, for the steps' timings: wall time, or ``time.process_time`` where others
            share the machine.

    Raises:
        UsageError: a compiled model under a policy whose context grows.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        settings: StreamSettings,
        trace: Callable[[TraceRecord], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not settings.policy.keeping.is_bounded and model.word_forward and model.word_forward.compiled:
            raise UsageError(
                "--compile needs a bounded cache: what was compiled would not fit once it has grown",
                "leave it out with --policy full",
            )
        self._model = model
        self._settings = settings
        self._trace = trace
        self._clock = clock
        self._writer = PromptWriter(model.tokenizer, model.markup)
        self.sight = Sight(model, settings, clock)
        self._sampler = Sampler(settings.sampling, model.device)
        self._limits = WindowLimits(
            settings.sink, settings.text_window, settings.vision_turns, settings.rounds
        )
        self._turn = self._has_room_for = 0
        self._videos: dict[int, VideoFeatures] = {}
        self._cache: StreamingCache | None = None
        self._words: Words | None = None
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
    def settings(self) -> StreamSettings:
        """As given."""
        return self._settings

    @property
    def model(self) -> VideoLanguageModel:
        """As given."""
        return self._model

    def unknown_words(self, text: str) -> list[str]:
        """Words outside the model's vocabulary."""
        return self._writer.unknown_words(text)

    def snapshot(self) -> Snapshot:
        """All that ``restore`` needs, copied; between steps only."""
        plain, arrays = self._context.snapshot()
        held = self._cache
        cache, capacity = ({}, 0) if held is None else (held.snapshot(), held.capacity)
        videos = {f"video.{turn}": video.features.cpu() for turn, video in self._videos.items()}
        return Snapshot(
            {
                "turn": self._turn,
                "capacity": capacity,
                "grids": {turn: self._videos[turn].grid for turn in self._videos},
            }
            | plain,
            {f"cache.{name}": tensor for name, tensor in cache.items()}
            | {f"context.{name}": torch.from_numpy(array.copy()) for name, array in arrays.items()}
            | videos
            | {"sampler": self._sampler.state},
        )

    def restore(self, saved: Snapshot) -> None:
        """Go on where a session of the same model and settings was when it gave ``saved``."""
        plain, tensors = saved.plain, saved.tensors
        self._turn = int(plain["turn"])
        arrays = {name.removeprefix("context."): tensor.numpy() for name, tensor in tensors.items()}
        self._context.restore(plain, arrays)
        self._videos = {
            int(turn): VideoFeatures(
                tensors[f"video.{turn}"].to(self._model.device), (grid[0], grid[1], grid[2])
            )
            for turn, grid in plain["grids"].items()
        }
        cache = {name: tensors[f"cache.{name}"] for name in CACHE_TENSORS if f"cache.{name}" in tensors}
        if cache:
            self._cache = self._model.new_cache(int(plain.get("capacity", cache["keys"].shape[2])))
            self._words = None
            self._cache.restore(cache, self._model.device)
        self._sampler.state = tensors["sampler"]

    def see(self, clip: Clip) -> SeenClip:
        """Prepare a clip: what ``step`` does first where it is handed one as it was read.

        Raises:
            SourceError: the clip cannot be cut into patches (one side over 200 times the other).
        """
        return self.sight.look(self.sight.resize(clip))

    def step(self, clip: Clip | SeenClip) -> StepEvent:
        """Show the model one clip and let it speak.

        Raises:
            SourceError: see ``see``.
            ModelError: its logits are not finite; the session cannot go on.
        """
        return self._step(clip)[1]

    def step_asked(self, clip: Clip | SeenClip, question: str) -> tuple[AnswerEvent, StepEvent]:
        """``step``, with a question in the turn of the clip: its answer, and then that second's words.

        The model answers first and then writes a line break; all that is said without one is the answer.

        Raises:
            Exception: whatever the question or its answer ran into; nothing of either is kept, and ``step``
                speaks about the same clip as if it had not been asked.
        """
        answer, step = self._step(clip, question)
        when = step.index, step.start_seconds, step.end_seconds
        return AnswerEvent(*when, question, answer.reply, answer.num_reply_tokens), step

    @torch.inference_mode()
    def _step(self, clip: Clip | SeenClip, question: str = "") -> tuple[Answer, StepEvent]:
        seen = self.see(clip) if isinstance(clip, Clip) else clip
        self._videos[self._turn] = seen.video
        cache = self._ready_cache()
        watch = Stopwatch(self._model.device, self._clock)
        self._make_room(cache, watch)
        with self._all_or_nothing(cache) if question else nullcontext():
            self._context.append(self._turn_parts(seen, question))
            watch.lap("cache")
            logits = self._feed(cache)
            watch.lap("prefill")
            drawn = self._speak(cache, logits, seen.start_seconds, is_asked=bool(question))
            watch.lap("decode")
            answer = self._finish(cache, drawn, is_asked=bool(question))
            watch.lap("cache")
        return answer, self._event(seen, answer, len(drawn), cache, watch)

    @contextmanager
    def _all_or_nothing(self, cache: StreamingCache) -> Generator[None, None, None]:
        """Where this fails, the turn that was begun is taken back: layout, states, random numbers."""
        mark, num_fed, drawn = self._context.mark(), cache.num_tokens, self._sampler.state
        try:
            yield
        except Exception:
            self._context.back_to(mark)
            cache.cut(num_fed)
            self._sampler.state = drawn
            raise

    def _new_context(self) -> Context:
        vision = self._model.patches
        stride = time_stride(self._settings.fps, vision.temporal_patch_size, self._model.tokens_per_second)
        return Context(stride, grows=self._settings.positions is Positions.GROWING)

    def _ready_cache(self) -> StreamingCache:
        """The cache and the way words are fed over it, both made at the first step, outside its times."""
        if self._cache is None:
            num_rows = self._videos[self._turn].features.shape[0]
            self._cache = self._model.new_cache(tokens_to_reserve(self._settings, num_rows))
        if self._words is None:
            self._words = self._model.words(self._cache)
            self._words.prepare()
        return self._cache

    def _make_room(self, cache: StreamingCache, watch: Stopwatch) -> None:
        """Drop what the policy drops before the next turn is written; once, also where it is begun again."""
        keeping = self._settings.policy.keeping
        if self._turn == self._has_room_for:
            return
        self._has_room_for = self._turn
        if keeping.restarts:
            if self._turn % self._settings.restart_turns == 0:
                cache.clear()
                self._context = self._new_context()
        elif keeping.recomputes:
            self._context.evict(self._turn, self._limits, rotate=False)
            cache.clear()
            self._context.refeed(0)
        elif keeping.evicts:
            if self._settings.rounds == 1:
                watch.lap("cache")
                self._feed(cache)
                watch.lap("prefill")
            move = self._context.evict(self._turn, self._limits)
            cache.evict(move.kept)
            cache.shift(move.shifts[: cache.num_tokens])
            self._context.refeed(cache.num_tokens)

    def _turn_parts(self, clip: SeenClip, question: str) -> list[Part]:
        """What this turn adds to the layout, the opening included where the context is empty."""
        settings, turn = self._settings, self._turn
        opens = not self._context.spans
        user = self._writer.turn(
            turn,
            clip.start_seconds,
            clip.end_seconds,
            self._videos[turn].grid,
            query=settings.query if opens else "",
            question=question,
            places=self._videos[turn].places,
        )
        if opens:
            return [*self._opening(), *user]
        if self._writer.ends_in_break(self._context.ids[-4:].tolist()):
            return user
        return [self._writer.turn_break(turn - 1), *user]

    def _opening(self) -> list[Part]:
        settings = self._settings
        text = settings.opening_text if self._turn == 0 else ""
        if not settings.policy.keeping.evicts:
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

    def _speak(
        self, cache: StreamingCache, logits: torch.Tensor, at_seconds: float, *, is_asked: bool
    ) -> list[int]:
        """Draw the tokens of a turn, feeding all but the last: where it is asked, the answer first."""
        assert self._words is not None
        self._sampler.begin(np.unique(self._context.ids).tolist(), at_seconds)
        position, words, fed = self._context.next_position, self._words, 0

        def feed(token: int) -> torch.Tensor:
            nonlocal fed
            fed += 1
            return words.feed(token, position + fed - 1)

        sampling, is_end = self._settings.sampling, self._model.markup.ends.__contains__
        most = sampling.max_new_tokens + (sampling.max_answer_tokens if is_asked else 0)
        cache.reserve(len(self._context.ids) + most)
        if not is_asked:
            return speak(logits, feed, self._sampler, sampling.max_new_tokens, is_end)
        ends_line = self._writer.ends_line
        replied = speak(
            logits, feed, self._sampler, sampling.max_answer_tokens, lambda id_: is_end(id_) or ends_line(id_)
        )
        if is_end(replied[-1]) or not ends_line(replied[-1]):
            return replied
        return [*replied, *speak(feed(replied[-1]), feed, self._sampler, sampling.max_new_tokens, is_end)]

    def _finish(self, cache: StreamingCache, drawn: list[int], *, is_asked: bool) -> Answer:
        """Add the answer to the layout and forget frames that live on in states alone."""
        turn_end = self._model.markup.turn_end
        answer = self._writer.read_answer(
            drawn if drawn[-1] == turn_end else [*drawn, turn_end], is_asked=is_asked
        )
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
        if self._settings.policy.keeping.recomputes:
            oldest -= self._settings.vision_turns - 1
        self._videos = {turn: video for turn, video in self._videos.items() if turn >= oldest}
        self._turn += 1
        return answer

    def _event(
        self, clip: SeenClip, answer: Answer, num_drawn: int, cache: StreamingCache, watch: Stopwatch
    ) -> StepEvent:
        laps = {"read": clip.read_seconds, "vision": clip.vision_seconds, **watch.laps}
        tokens = self._context.num_tokens_of
        return StepEvent(
            index=self._turn - 1,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            text=answer.text,
            num_frames=clip.num_frames,
            num_new_tokens=num_drawn,
            num_cached_tokens=cache.num_tokens,
            num_vision_tokens=tokens(SpanKind.VIDEO),
            num_sink_tokens=min(self._limits.sink, tokens(SpanKind.PREVIOUS_TEXT)),
            timings=StepTimings(**laps, total=sum(laps.values())),
        )
