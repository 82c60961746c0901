"""One stream through one model: a clip in, the words of its second out.

A step has three parts. ``plan`` evicts what the window rule drops, writes the new turn and says what is to be
fed. Whoever feeds it (``step/feeding.py``) hands the logits to ``fed``, which draws a word and says what is
to be fed next, until all is said. ``finish`` writes the answer down. ``step`` is all three for a session that
is alone; several may share their forwards. See docs/concepts.md for the picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial

import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.cache import RECURRENT, StreamingCache
from svlm_cli.model.decode import told
from svlm_cli.model.prompt import Answer, PromptWriter
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import VideoFeatures, stored_videos, video_tensors
from svlm_cli.model.window import SpanKind, WindowLimits
from svlm_cli.settings import Positions, StreamSettings
from svlm_cli.stream.context import Context, tokens_to_reserve
from svlm_cli.stream.sight import SeenClip, Sight
from svlm_cli.stream.snapshot import Snapshot
from svlm_cli.stream.step.begun import Asking, Before, BegunStep
from svlm_cli.stream.step.feeding import Feeder, FeedPlan, LoneFeeder, PrefillPlan, unfed
from svlm_cli.stream.step.livecc import fitted
from svlm_cli.stream.step.speech import Speaker, WordPlans
from svlm_cli.stream.step.turns import TurnWriter
from svlm_cli.stream.trace import Stopwatch, TraceRecord
from svlm_cli.types import AnswerEvent, Clip, StepEvent

Finished = tuple[AnswerEvent | None, StepEvent]
CACHE_TENSORS = ("keys", "values", "originals", "slots", "shifts", "has_original", *RECURRENT)


class StreamSession:
    """The state of one stream: its context, its cache, its random generator.

    Args:
        model: a loaded checkpoint.
        settings: what to show it, what to keep, how to speak.
        trace: called once per step, before the step's event is returned.
        clock: seconds, for the steps' timings: wall time, or ``time.process_time`` where others
            share the machine.
        feeder: computes what it asks for; one of its own where None.

    Raises:
        UsageError: a compiled model under a policy whose context grows.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        settings: StreamSettings,
        trace: Callable[[TraceRecord], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        feeder: Feeder | None = None,
    ) -> None:
        settings = fitted(settings, model)
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
        self.sight, self._feeder = Sight(model, settings, clock), feeder or LoneFeeder(model)
        self.look = partial(self._feeder.look, self.sight)
        self._speaker = Speaker(settings.sampling, self._writer, model.device)
        self._limits = WindowLimits(
            settings.sink, settings.text_window, settings.vision_turns, settings.rounds
        )
        self._turns = TurnWriter(settings, self._writer, self._limits)
        self._turn = self._has_room_for = 0
        self._begun: BegunStep | None = None
        self._videos: dict[int, VideoFeatures] = {}
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
        """All that ``restore`` needs, copied.

        Raises:
            RuntimeError: a step has begun and is not finished.
        """
        self._require_none_begun()
        plain, arrays, held = *self._context.snapshot(), self._cache
        cache, capacity = ({}, 0) if held is None else (held.snapshot(), held.capacity)
        grids = {turn: video.grid for turn, video in self._videos.items()}
        return Snapshot(
            {"turn": self._turn, "capacity": capacity, "grids": grids} | plain,
            {f"cache.{name}": tensor for name, tensor in cache.items()}
            | {f"context.{name}": torch.from_numpy(array.copy()) for name, array in arrays.items()}
            | {name: tensor.cpu() for name, tensor in video_tensors(self._videos).items()}
            | {"sampler": self._speaker.sampler.state},
        )

    def restore(self, saved: Snapshot) -> None:
        """Go on where a session of the same model and settings was when it gave ``saved``."""
        plain, tensors, device = saved.plain, saved.tensors, self._model.device
        self._turn = int(plain["turn"])
        arrays = {name.split(".")[1]: t.numpy() for name, t in tensors.items() if name.startswith("context.")}
        self._context.restore(plain, arrays)
        self._videos = stored_videos(plain["grids"], tensors, device)
        cache = {name: tensors[f"cache.{name}"] for name in CACHE_TENSORS if f"cache.{name}" in tensors}
        if cache:
            self._cache = self._model.new_cache(int(plain.get("capacity", cache["keys"].shape[2])))
            self._cache.restore(cache, device)
        self._speaker.sampler.state = tensors["sampler"]

    def see(self, clip: Clip) -> SeenClip:
        """Prepare a clip: what ``step`` does first where it is handed one as it was read.

        Raises:
            SourceError: the clip cannot be cut into patches (one side over 200 times the other).
        """
        return self.look(self.sight.resize(clip))

    def step(self, clip: Clip | SeenClip) -> StepEvent:
        """Show the model one clip and let it speak.

        Raises:
            SourceError: see ``see``.
            ModelError: its logits are not finite; nothing of the step is kept.
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
        assert answer is not None
        return answer, step

    @torch.inference_mode()
    def plan(self, clip: SeenClip, question: str | None = None) -> FeedPlan:
        """Begin a step: what is to be fed first.

        Args:
            clip: what is shown, from ``see``.
            question: what is asked in its turn, None for nothing.

        Raises:
            Exception: as ``fed``.
            RuntimeError: the step before is neither finished nor taken back.
        """
        return next(self._begin(clip, question).asking)

    @torch.inference_mode()
    def fed(self, logits: torch.Tensor) -> FeedPlan | None:
        """Go on with the logits after the last token of what was to be fed.

        Args:
            logits: shape (v,).

        Returns:
            What is to be fed next; None where all is said, and ``finish`` is to be called.

        Raises:
            Exception: whatever the step ran into; ``take_back`` undoes it.
            RuntimeError: no step has begun.
        """
        begun = self._under_way()
        try:
            return begun.asking.send(logits)
        except StopIteration as end:
            begun.drawn = end.value
            return None

    @torch.inference_mode()
    def finish(self) -> Finished:
        """End a step of which all is said.

        Returns:
            The answer where there was a question, and the step.

        Raises:
            Exception: as ``fed``.
        """
        begun = self._under_way()
        if not begun.drawn:
            raise RuntimeError("not all of the step is said")
        answer = self._write_down(begun.drawn, is_asked=bool(begun.question))
        begun.watch.lap("cache")
        self._begun = None
        tokens, index = self._context.num_tokens_of, self._turn - 1
        step = begun.step_event(
            index,
            answer,
            num_cached=self.cache.num_tokens,
            num_vision=tokens(SpanKind.VIDEO),
            num_sink=min(self._limits.sink, tokens(SpanKind.PREVIOUS_TEXT)),
        )
        return begun.answer_event(index, answer), step

    def take_back(self) -> None:
        """Undo a step that has begun: layout, states, random numbers. The same clip may be planned again."""
        if self._begun is None:
            return
        begun, self._begun = self._begun, None
        begun.asking.close()
        self._context.back_to(begun.before.layout)
        self.cache.back_to(begun.before.states)
        self._videos.pop(self._turn, None)
        self._speaker.sampler.state = begun.before.random

    def _require_none_begun(self) -> None:
        if self._begun is not None:
            raise RuntimeError("a step has begun and is not finished")

    def _under_way(self) -> BegunStep:
        if self._begun is None:
            raise RuntimeError("no step has begun")
        return self._begun

    @torch.inference_mode()
    def _step(self, clip: Clip | SeenClip, question: str | None = None) -> Finished:
        seen = self.see(clip) if isinstance(clip, Clip) else clip
        self._feeder.prepare(self._ready_cache(seen))
        try:
            begun = self._begin(seen, question)
            begun.drawn = told(begun.asking, self._feeder.feed)
            return self.finish()
        except BaseException:
            self.take_back()
            raise

    def _begin(self, clip: SeenClip, question: str | None) -> BegunStep:
        self._require_none_begun()
        cache = self._ready_cache(clip)
        self._videos[self._turn] = clip.video
        before = Before(self._context.mark(), cache.mark(), self._speaker.sampler.state)
        self._begun = begun = BegunStep(clip, question, Stopwatch(self._model.device, self._clock), before)
        begun.asking = self._ask(begun)
        return begun

    def _new_context(self) -> Context:
        stride = self._model.patches.stride(self._settings.fps, self._model.tokens_per_second)
        return Context(stride, grows=self._settings.positions is Positions.GROWING)

    def _ready_cache(self, clip: SeenClip) -> StreamingCache:
        """The cache, made at the first step, outside its times."""
        if self._cache is None:
            room = tokens_to_reserve(self._settings, clip.video.features.shape[0])
            self._cache = self._model.new_cache(room)
        return self._cache

    def _ask(self, begun: BegunStep) -> Asking:
        """Ask for all that a step feeds, one after another; is sent logits, returns what was drawn."""
        watch, clip, question = begun.watch, begun.clip, begun.question or ""
        yield from self._make_room(watch)
        begun.before = Before(self._context.mark(), self.cache.mark(), begun.before.random)
        self._context.append(self._turns.parts(self._turn, clip, self._context, question))
        watch.lap("cache")
        logits = yield unfed(self._context, self.cache, self._videos)
        watch.lap("prefill")
        drawn = yield from self._speak(logits, clip.start_seconds, is_asked=bool(question))
        watch.lap("decode")
        return drawn

    def _make_room(self, watch: Stopwatch) -> Generator[PrefillPlan, torch.Tensor, None]:
        """Drop what the policy drops before the next turn is written; once, also where it is begun again.

        Where the turn before is moved at once (R = 1), what has no states of it is asked for first.
        """
        keeping, cache = self._settings.policy.keeping, self.cache
        if self._turn == self._has_room_for:
            return
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
                yield unfed(self._context, self.cache, self._videos)
                watch.lap("prefill")
            move = self._context.evict(self._turn, self._limits)
            cache.evict(move.kept)
            cache.shift(move.shifts[: cache.num_tokens])
            self._context.refeed(cache.num_tokens)
        self._has_room_for = self._turn

    def _speak(self, logits: torch.Tensor, at_seconds: float, *, is_asked: bool) -> WordPlans:
        return self._speaker.speak(logits, self._context, self.cache, at_seconds, is_asked=is_asked)

    def _write_down(self, drawn: list[int], *, is_asked: bool) -> Answer:
        """Add the answer to the layout and forget frames that live on in states alone."""
        turn_end = self._model.markup.turn_end
        closed = drawn if drawn[-1] == turn_end else [*drawn, turn_end]
        answer = self._writer.read_answer(closed, is_asked=is_asked)
        if self._trace is not None:
            ids, rows, said = self._context.ids, self._context.rows(), [*answer.words, *answer.tail]
            self._trace(TraceRecord(self._turn, ids.tolist(), rows.tolist(), said, self.cache.num_tokens))
        self._context.append(self._writer.answer_parts(self._turn, answer))
        oldest = self._turn + 1
        if self._settings.policy.keeping.recomputes:
            oldest -= self._settings.vision_turns - 1
        self._videos = {turn: video for turn, video in self._videos.items() if turn >= oldest}
        self._turn += 1
        return answer
