"""One forward for several sessions gives each the words and logits of its lone run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svlm_cli import Sampling, StreamSession, StreamSettings, load_model, open_source
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.step.feeding import FeedPlan, LoneFeeder
from svlm_cli.stream.step.shared import SharedFeeder
from tests.families import made_model

from .test_shared_forward import GREEDY, KINDS, Stream, told


class Noting(LoneFeeder):
    """Keeps the logits that it hands out."""

    def __init__(self, model) -> None:
        super().__init__(model)
        self.seen: list[torch.Tensor] = []

    def feed(self, plan: FeedPlan) -> torch.Tensor:
        logits = super().feed(plan)
        self.seen.append(logits.clone())
        return logits


def noted(session: StreamSession) -> list[torch.Tensor]:
    """Logits that a session is fed from now on when it is alone."""
    session._feeder = Noting(session.model)
    return session._feeder.seen


def together(model, sessions, steps, feeder=None) -> tuple[list[list], list[list[torch.Tensor]], int]:
    """All steps of every session, round by round; one that has no more leaves. Also logits, and forwards."""
    feeder = feeder or SharedFeeder(model)
    said: list[list] = [[] for _ in sessions]
    seen: list[list[torch.Tensor]] = [[] for _ in sessions]
    num_forwards = 0
    while due := [n for n in range(len(sessions)) if len(said[n]) < len(steps[n])]:
        plans: dict[int, FeedPlan] = {}
        for n in due:
            clip, question = steps[n][len(said[n])]
            plans[n] = sessions[n].plan(sessions[n].see(clip), question)
        while plans:
            num_forwards += 1
            fed = feeder.feed(list(plans.values()))
            for n, logits in zip(list(plans), fed, strict=True):
                assert isinstance(logits, torch.Tensor), logits
                seen[n].append(logits.clone())
                plan = sessions[n].fed(logits)
                if plan is None:
                    del plans[n]
                    said[n].append(told(*sessions[n].finish()))
                else:
                    plans[n] = plan
    return said, seen, num_forwards


@pytest.mark.parametrize(
    ("family", "most_rows"), [("qwen2_5_vl", 40), ("qwen2_vl", 4096), ("qwen3_vl", 4096)]
)
def test_every_kind_of_session_beside_the_others(family, most_rows, model) -> None:
    """Policies, questions, other sizes and rates; also where prefills do not fit in one forward."""
    model = made_model(family, model.tokenizer)
    assert model.can_share
    lone = [Stream(model, kind, GREEDY) for kind in KINDS]
    expected_logits = [noted(stream.session) for stream in lone]
    expected = [stream.alone() for stream in lone]
    streams = [Stream(model, kind, GREEDY) for kind in KINDS]
    said, seen, num_forwards = together(
        model,
        [stream.session for stream in streams],
        [stream.steps for stream in streams],
        SharedFeeder(model, most_rows),
    )
    assert said == expected
    assert [stream.records for stream in streams] == [stream.records for stream in lone]
    for ours, theirs in zip(seen, expected_logits, strict=True):
        torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), atol=1e-5, rtol=1e-5)
    assert num_forwards < sum(map(len, seen)) / 3


@pytest.mark.parametrize("quantize", ["int8", "bfloat16"])
def test_other_number_formats(checkpoint, quantize: str) -> None:
    """A first forward of several sessions: logits as near the lone ones as the format has digits."""
    chosen = {"dtype": "bfloat16"} if quantize == "bfloat16" else {"quantize": quantize}
    model = load_model(str(checkpoint), device="cpu", packed=True, **chosen)
    lone, shared = ([Stream(model, kind, GREEDY).session for kind in KINDS] for _ in range(2))
    shown = [Stream(model, kind, GREEDY).steps[0][0] for kind in KINDS]
    plans = [each.plan(each.see(clip)) for each, clip in zip(lone, shown, strict=True)]
    with torch.inference_mode():
        expected = torch.stack([LoneFeeder(model).feed(plan) for plan in plans])
    plans = [each.plan(each.see(clip)) for each, clip in zip(shared, shown, strict=True)]
    seen = torch.stack(SharedFeeder(model).feed(plans))
    spread = float(expected.float().std())
    assert float((seen - expected).abs().max()) < 0.05 * spread
    wrong = float((seen.roll(1, 0) - expected).abs().max())
    assert wrong > spread, "a row of somebody else must show"


def arena_stream(model: VideoLanguageModel, number: int) -> tuple[StreamSettings, list]:
    """Settings of one of 16 channels and what it is shown: half at 2 and half at 8 frames a second."""
    sampling = Sampling(greedy=True, max_new_tokens=12, max_answer_tokens=6)
    shown = {"vision_window": 2, "rounds": 2, "sink": 8, "text_window": 24}
    with open_source(f"arena:soccer,seed={number}") as source:
        settings = StreamSettings(
            fps=2.0 if number % 2 else 8.0,
            previous_text=source.opening_text(0.0),
            sampling=sampling,
            **shown,
        )
        num_steps = 2 if number in (3, 8) else 4
        seen = list(source.clips(settings.fps, 1.0, 7.0 * number, num_steps))
    question = "Who has the ball?" if number == 5 else None
    return settings, [(clip, question if clip.index == 1 else None) for clip in seen]


def test_sixteen_matches_at_once(one_thread) -> None:
    """The bundled model: one asked, one resumed, two that leave early, every one as alone."""
    model = load_model(None, device="cpu")
    made = [arena_stream(model, number) for number in range(16)]
    lone = [StreamSession(model, settings) for settings, _ in made]
    expected_logits = [noted(session) for session in lone]
    expected = []
    saved = None
    for number, (session, (_, steps)) in enumerate(zip(lone, made, strict=True)):
        done = []
        for clip, question in steps:
            if number == 7 and clip.index == 2:
                saved = session.snapshot()
                num_before = len(expected_logits[7])
            done.append(
                (None, session.step(clip)) if question is None else session.step_asked(clip, question)
            )
        expected.append([told(*each) for each in done])
    shared = [StreamSession(model, settings) for settings, _ in made]
    shared[7].restore(saved)
    made[7] = (made[7][0], made[7][1][2:])
    expected[7], expected_logits[7] = expected[7][2:], expected_logits[7][num_before:]
    said, seen, _ = together(model, shared, [steps for _, steps in made])
    assert said == expected
    assert sum(len(step.text) for steps in expected for _, step in steps) > 200, "they must speak"
    for ours, theirs in zip(seen, expected_logits, strict=True):
        torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), atol=1e-5, rtol=1e-5)


def test_who_fails_fails_alone(model) -> None:
    """A plan that raises, whose cache stays as it was; NaN stays in its own rows."""
    kinds = list(KINDS)
    expected = [Stream(model, kind, GREEDY).alone()[0] for kind in kinds]
    streams = [Stream(model, kind, GREEDY) for kind in kinds]
    plans = [stream.plan(0) for stream in streams]
    plans[1] = replace(plans[1], positions=plans[1].positions[:, :-1])
    with torch.inference_mode():
        plans[2].frames[0].features.fill_(float("nan"))
    fed = SharedFeeder(model).feed(plans)
    assert isinstance(fed[1], Exception)
    assert plans[1].cache.num_tokens == 0
    assert fed[2].isnan().any()
    for number in (0, 3, 4, 5):
        stream, logits = streams[number], fed[number]
        feeder = LoneFeeder(model)
        with torch.inference_mode():
            while (plan := stream.session.fed(logits)) is not None:
                logits = feeder.feed(plan)
        assert told(*stream.session.finish()) == expected[number]


def test_a_model_with_another_attention_feeds_each_alone(checkpoint) -> None:
    model = load_model(str(checkpoint), device="cpu", attention="sdpa")
    if model.can_share:
        model.network.set_attn_implementation({"text_config": "sdpa"})
    assert not model.can_share
    expected = [Stream(model, kind, GREEDY).alone() for kind in ("streaming", "asked")]
    streams = [Stream(model, kind, GREEDY) for kind in ("streaming", "asked")]
    said, _, _ = together(model, [each.session for each in streams], [each.steps for each in streams])
    assert said == expected
