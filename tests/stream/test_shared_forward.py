"""A step in three parts: several sessions are planned, fed by somebody else, and finished in any order."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from svlm_cli import Policy, Sampling, StreamSession, StreamSettings
from svlm_cli.stream.step.feeding import FeedPlan, LoneFeeder, PrefillPlan, embedded

from .engine import clips

DRAWN = Sampling(max_new_tokens=5, max_answer_tokens=6, seed=3)
GREEDY = replace(DRAWN, greedy=True)
KINDS = {
    "streaming": {"vision_window": 2, "rounds": 3, "sink": 2, "text_window": 3},
    "moved at once": {"vision_window": 2, "rounds": 1, "sink": 2, "text_window": 9},
    "recompute": {"policy": Policy.RECOMPUTE, "vision_window": 2, "rounds": 2},
    "window": {"policy": Policy.WINDOW, "restart_seconds": 3},
    "full": {"policy": Policy.FULL, "fps": 4.0},
    "asked": {"vision_window": 3, "rounds": 2},
}
NUM_STEPS = 7


class Stream:
    """A session with what it is shown and asked."""

    def __init__(self, model, kind: str, sampling: Sampling) -> None:
        chosen = {"previous_text": "one two three four five six", "sampling": sampling} | KINDS[kind]
        settings = StreamSettings(**chosen)
        self.records: list = []
        self.session = StreamSession(model, settings, self.records.append)
        seed = sorted(KINDS).index(kind)
        shown = clips(NUM_STEPS, fps=settings.fps, seed=seed, size=(56, 84 + 28 * (seed % 2)))
        self.steps = [(clip, "Who?" if kind == "asked" and clip.index % 3 == 1 else None) for clip in shown]

    def alone(self) -> list[tuple]:
        done = [
            (None, self.session.step(clip)) if question is None else self.session.step_asked(clip, question)
            for clip, question in self.steps
        ]
        return [told(*each) for each in done]

    def plan(self, number: int) -> FeedPlan:
        clip, question = self.steps[number]
        return self.session.plan(self.session.see(clip), question)


def told(answer, step) -> tuple:
    """All of both events but the times."""
    return answer, replace(step, timings=None)


class PackedLayer(CacheLayerMixin):
    """One layer of several caches: rows that lie end to end go to their owners' storage."""

    is_sliding = False

    def __init__(self, layers, lengths) -> None:
        super().__init__()
        self.layers, self.lengths, self.is_initialized = layers, lengths, True

    def lazy_initialization(self, key_states, value_states) -> None:
        pass

    def update(self, key_states, value_states, *_args, **_kwargs):
        states = (each.split(self.lengths, dim=2) for each in (key_states, value_states))
        held = [layer.update(*own) for layer, *own in zip(self.layers, *states, strict=True)]
        return tuple(torch.cat(each, dim=2) for each in zip(*held, strict=True))

    def get_mask_sizes(self, query_length):
        return query_length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


@torch.inference_mode()
def packed(model, plans: list[FeedPlan]) -> list[torch.Tensor]:
    """One forward for the plans of several sessions: their rows end to end, each sees its own cache alone."""
    inputs, positions = [], []
    for plan in plans:
        is_prefill = isinstance(plan, PrefillPlan)
        inputs.append(embedded(model, plan) if is_prefill else model.embed([plan.token]))
        positions.append(plan.positions if is_prefill else np.full((3, 1), plan.position))
    lengths = [len(rows) for rows in inputs]
    masks = [
        torch.ones(new, plan.cache.num_tokens + new, dtype=torch.bool).tril(plan.cache.num_tokens)
        for new, plan in zip(lengths, plans, strict=True)
    ]
    layers = zip(*(plan.cache.layers for plan in plans), strict=True)
    output = model.network.model.language_model(
        inputs_embeds=torch.cat(inputs)[None],
        position_ids=torch.from_numpy(np.concatenate(positions, axis=1)).float()[:, None],
        attention_mask={"full_attention": torch.block_diag(*masks)[None, None].bool()},
        past_key_values=Cache(layers=[PackedLayer(each, lengths) for each in layers]),
        use_cache=True,
    )
    last = [end - 1 for end in itertools.accumulate(lengths)]
    return list(model.network.lm_head(output.last_hidden_state[0, last]))


def lone_words(model, sampling: Sampling) -> tuple[list[Stream], list[list[tuple]]]:
    streams = [Stream(model, kind, sampling) for kind in KINDS]
    return streams, [stream.alone() for stream in streams]


def test_two_sessions_by_hand_say_what_each_says_alone(model) -> None:
    """Plan A, plan B, feed A, feed B, ..., finish B, finish A; every kind beside another."""
    lone, expected = lone_words(model, DRAWN)
    feeders = LoneFeeder(model), LoneFeeder(model)
    for a, b in ((0, 5), (1, 2), (3, 4), (5, 1)):
        pair = [Stream(model, list(KINDS)[number], DRAWN) for number in (a, b)]
        said: list[list[tuple]] = [[], []]
        for number in range(NUM_STEPS):
            plans: list[FeedPlan | None] = [stream.plan(number) for stream in pair]
            while any(plan is not None for plan in plans):
                logits = [plan and feeder.feed(plan) for feeder, plan in zip(feeders, plans, strict=True)]
                plans = [
                    stream.session.fed(each) if plan is not None else None
                    for stream, plan, each in zip(pair, plans, logits, strict=True)
                ]
            for which in (1, 0):
                said[which].append(told(*pair[which].session.finish()))
        assert said == [expected[a], expected[b]]
        for stream, alone in zip(pair, (lone[a], lone[b]), strict=True):
            assert stream.records == alone.records
            ours, theirs = stream.session.snapshot(), alone.session.snapshot()
            assert ours.plain == theirs.plain
            assert all(torch.equal(ours.tensors[name], each) for name, each in theirs.tensors.items())


def test_sessions_share_one_forward(model) -> None:
    """Rows of all that are due in one matrix, prefills beside words; some are not due, some end early."""
    _, expected = lone_words(model, GREEDY)
    streams = [Stream(model, kind, GREEDY) for kind in KINDS]
    said: list[list[tuple]] = [[] for _ in streams]
    plans: dict[int, FeedPlan] = {}
    dice, num_shared = random.Random(5), 0
    while any(len(each) < NUM_STEPS for each in said):
        for number, stream in enumerate(streams):
            if number not in plans and len(said[number]) < NUM_STEPS and dice.random() < 0.7:
                plans[number] = stream.plan(len(said[number]))
        due = sorted(plans)
        if not due:
            continue
        num_shared += len(due) > 1
        for number, logits in zip(due, packed(model, [plans[number] for number in due]), strict=True):
            plan = streams[number].session.fed(logits)
            if plan is not None:
                plans[number] = plan
            else:
                del plans[number]
                said[number].append(told(*streams[number].session.finish()))
    assert said == expected
    assert num_shared > 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_taken_back_leaves_nothing(model, kind: str) -> None:
    """Wherever it was broken off, and with a question that is then left out."""
    lone, stream = Stream(model, kind, DRAWN), Stream(model, kind, DRAWN)
    expected, said, feeder, dice = lone.alone(), [], LoneFeeder(model), random.Random(kind)
    for number, (clip, question) in enumerate(stream.steps):
        plan: FeedPlan | None = stream.session.plan(stream.session.see(clip), "Where is it?")
        for _ in range(dice.randrange(6)):
            plan = plan and stream.session.fed(feeder.feed(plan))
        with pytest.raises(RuntimeError, match="begun and is not finished"):
            stream.plan(number)
        with pytest.raises(RuntimeError, match="begun and is not finished"):
            stream.session.snapshot()
        stream.session.take_back()
        stream.session.take_back()
        answer = None
        if question is None:
            step = stream.session.step(clip)
        else:
            answer, step = stream.session.step_asked(clip, question)
        said.append(told(answer, step))
    assert said == expected
    assert stream.records == lone.records


def test_a_step_that_fails_while_it_is_fed_may_be_tried_again(model, monkeypatch) -> None:
    """At R = 1 as well, where it fails before anything is evicted."""
    lone, stream = (Stream(model, "moved at once", DRAWN) for _ in range(2))
    expected, said = lone.alone(), []
    feed = LoneFeeder.feed
    for number, (clip, _) in enumerate(stream.steps):
        left = itertools.count(-(number % 4))

        def fails_once(self, plan, left=left):
            if next(left) == 0:
                raise MemoryError("no room")
            return feed(self, plan)

        monkeypatch.setattr(LoneFeeder, "feed", fails_once)
        try:
            said.append(told(None, stream.session.step(clip)))
        except MemoryError:
            said.append(told(None, stream.session.step(clip)))
    assert said == expected


def test_nothing_is_finished_that_was_not_said(model) -> None:
    stream = Stream(model, "streaming", DRAWN)
    for call in (stream.session.finish, lambda: stream.session.fed(torch.zeros(1))):
        with pytest.raises(RuntimeError, match="no step has begun"):
            call()
    stream.plan(0)
    with pytest.raises(RuntimeError, match="not all of the step is said"):
        stream.session.finish()
