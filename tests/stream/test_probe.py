"""Questions beside a stream change nothing of it, and see what it holds."""

from __future__ import annotations

import pytest
import torch

from svlm_cli import ModelError, Policy, Sampling, StreamSession, StreamSettings
from svlm_cli.model.window import SpanKind
from svlm_cli.stream.probe import ProbedSession

from .engine import clips

SAMPLING = Sampling(greedy=True, max_new_tokens=4, repetition_penalty=1.0, max_answer_tokens=6)
WALKS = [
    {"policy": Policy.STREAMING, "vision_window": 2, "rounds": 3, "sink": 2, "text_window": 3},
    {"policy": Policy.STREAMING, "vision_window": 2, "rounds": 1},
    {"policy": Policy.RECOMPUTE, "vision_window": 2, "rounds": 2},
    {"policy": Policy.WINDOW, "restart_seconds": 3},
    {"policy": Policy.FULL},
]


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{walk['policy']}-{walk.get('rounds', '')}")
def test_the_stream_goes_on_as_if_nobody_had_asked(model, walk):
    options = StreamSettings(sampling=SAMPLING, previous_text="one two three four five six", **walk)
    traces: dict[str, list] = {"alone": [], "asked": []}
    alone = StreamSession(model, options, traces["alone"].append)
    asked = ProbedSession(model, options, traces["asked"].append)
    for clip in clips(7):
        said = alone.step(clip).text
        first = asked.reply(clip, "Who?", 3)
        scores = asked.scores(clip, "Yes or no?", "The answer is:\n", [1, 2, 3])
        assert asked.reply(clip, "Who?", 3) == first
        assert torch.equal(asked.scores(clip, "Yes or no?", "The answer is:\n", [1, 2, 3]), scores)
        assert asked.step(clip).text == said
    assert traces["asked"] == traces["alone"]
    for layer in range(3):
        for ours, theirs in zip(asked.cache.held(layer), alone.cache.held(layer), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_reply_is_what_a_question_in_the_stream_gets(model):
    options = StreamSettings(vision_window=2, rounds=2, sampling=SAMPLING)
    asked, aside = StreamSession(model, options), ProbedSession(model, options)
    *first, last = clips(5)
    for clip in first:
        asked.step(clip)
        aside.step(clip)
    assert aside.reply(last, "What is the score?", 6) == asked.step_asked(last, "What is the score?")[0].text


def test_scores_are_the_logits_after_the_lead(model):
    """Against Hugging Face's own forward over the whole context."""
    from tests.stream.test_session import full_forward

    session = ProbedSession(model, StreamSettings(policy=Policy.FULL, query="", sampling=SAMPLING))
    shown = clips(3)
    for clip in shown[:-1]:
        session.watch(clip)
    lead = "The answer is:\n"
    seen: list = []

    class Record:
        pass

    with torch.inference_mode(), session._aside(shown[-1], "Yes or no?", lead) as (_, logits):
        record = Record()
        record.context_ids = session.context.ids.tolist()
        record.position_ids = session.context.rows().tolist()
        seen.append(logits.clone())
    expected = full_forward(model, shown, record)[-1]
    torch.testing.assert_close(seen[0], expected, atol=1e-4, rtol=1e-4)
    candidates = [10, 20, 30]
    torch.testing.assert_close(
        session.scores(shown[-1], "Yes or no?", lead, candidates), expected[candidates], atol=1e-4, rtol=1e-4
    )
    text = model.tokenizer.decode(record.context_ids)
    assert text.endswith(f"<|vision_end|><|im_end|>\n<|im_start|>assistant\n{lead}")
    assert "Time=2.0-3.0s Yes or no?<|vision_start|>" in text


def test_watching_is_a_silent_second(model):
    session = ProbedSession(model, StreamSettings(sampling=SAMPLING, query=""))
    for clip in clips(2):
        session.watch(clip)
    text = model.tokenizer.decode([int(token) for token in session.context.ids])
    assert text.count("<|im_start|>assistant\n ...<|im_end|>") == 2
    assert session.context.num_tokens_of(SpanKind.WORDS) == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda session, clip: session.watch(clip),
        lambda session, clip: session.reply(clip, "Who?", 3),
        lambda session, clip: session.scores(clip, "Who?", "It is", [1, 2, 3]),
        lambda session, clip: session.step_asked(clip, "Who?"),
    ],
)
def test_numbers_that_are_not_finite_are_no_answer(model, ask):
    """Also in silence, where no word is drawn."""
    weight = model.network.model.visual.merger.mlp[2].weight.data
    session, (first, second) = ProbedSession(model, StreamSettings(sampling=SAMPLING)), clips(2)
    session.step(first)
    kept = weight[0, 0].clone()
    weight[0, 0] = float("nan")
    try:
        with pytest.raises(ModelError, match=r"not finite at 1\.0 s"):
            ask(session, second)
    finally:
        weight[0, 0] = kept
