"""Every family but the first two, against transformers' own classes."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from svlm_cli import (
    Policy,
    Sampling,
    StepEvent,
    StreamSession,
    StreamSettings,
    open_source,
    stream_video,
)
from svlm_cli.model.family.markup import find_markup
from svlm_cli.model.hooks.fixed_words import WordForward
from svlm_cli.model.prepare import prepare
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.window import SpanKind
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.probe import ProbedSession
from svlm_cli.stream.state import StateKeeper, load_state
from svlm_cli.stream.step.feeding import LoneFeeder
from tests.families import RECURRENT, SQUARE, STAMPED, library_rows_and_logits, made_model

from .engine import KeyLedger, clips, follow, recording, rotated
from .test_session import said, scripted, walk

SIZE = (64, 96)
GREEDY = Sampling(greedy=True, max_new_tokens=5)
SMALL = StreamSettings(vision_window=3, rounds=2, sink=6, text_window=6, previous_text="a b c d e f g")


@pytest.fixture(scope="module", params=STAMPED + RECURRENT + SQUARE)
def family(request: pytest.FixtureRequest, model) -> VideoLanguageModel:
    return made_model(request.param, model.tokenizer)


@pytest.fixture(scope="module")
def stamped(model) -> VideoLanguageModel:
    return made_model("qwen3_vl", model.tokenizer)


def run(model, options: StreamSettings, num_steps: int, **how):
    records: list = []
    session = StreamSession(model, options, records.append)
    events = [session.step(clip) for clip in clips(num_steps, fps=options.fps, size=SIZE, **how)]
    return session, records, events


@pytest.mark.parametrize("fps", [2.0, 8.0])
def test_positions_and_logits_are_those_of_the_library(family, fps: float) -> None:
    """Rows equal ``get_rope_index`` exactly, and every forward of a full stream equals one over all of it."""
    watched = recording(family)
    options = StreamSettings(policy=Policy.FULL, fps=fps, previous_text="a b c", sampling=GREEDY)
    _, records, _ = run(watched, options, 4)
    shown = clips(4, fps=fps, size=SIZE)
    rows, expected = library_rows_and_logits(family, shown, records[-1].context_ids)
    assert np.array_equal(np.array(records[-1].position_ids), rows)
    compared = 0
    for fed in watched.fed:
        last = fed.start + fed.positions.shape[1] - 1
        if last < len(expected):
            torch.testing.assert_close(fed.logits, expected[last], atol=1e-5, rtol=1e-5)
            compared += 1
    assert compared > 12
    assert expected.std() > 0.1, "a wrong key would not show"


def test_deep_features_matter(stamped) -> None:
    """The comparison above has teeth: without what goes to the layers behind the first it fails."""
    watched = recording(stamped)
    session = StreamSession(watched, StreamSettings(policy=Policy.FULL, sampling=GREEDY))
    clip = clips(1, size=SIZE)[0]
    seen = session.see(clip)
    assert seen.video.deep is not None
    assert seen.video.deep.shape[0] == len(stamped.network.config.vision_config.deepstack_visual_indexes)
    session.step(seen)
    blind = StreamSession(watched, StreamSettings(policy=Policy.FULL, sampling=GREEDY))
    blind.step(replace(seen, video=replace(seen.video, deep=None)))
    firsts = [fed.logits for fed in watched.fed if fed.start == 0]
    assert (firsts[0] - firsts[1]).abs().max() > 1e-2


@given(start=st.integers(0, 20_000), fps=st.sampled_from([2, 4, 6, 8, 10, 12, 24, 30]))
def test_stamps_are_those_of_the_processor(model, start: int, fps: int) -> None:
    markup = replace(model.markup, frames_per_stamp=2)
    writer = PromptWriter(model.tokenizer, markup)
    parts = writer.turn(0, float(start), start + 1.0, (fps // 2, 1, 1))
    text = model.tokenizer.decode([token for part in parts for token in part.ids])
    frames = np.arange(start * fps, (start + 1) * fps)
    expected = "".join(
        f"<{time:.1f} seconds><|vision_start|><|video_pad|><|vision_end|>"
        for time in Qwen3VLProcessor._calculate_timestamps(None, frames, fps, 2)
    )
    assert f"Time={start}.0-{start + 1}.0s{expected}<|im_end|>" in text
    assert [part.span.kind for part in parts].count(SpanKind.VIDEO) == fps // 2


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=walk)
def test_keys_and_positions_after_evictions(stamped, drawn) -> None:
    """Stored keys equal fresh rotations of the first; ids, rows and first keys are those of ``recompute``."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        session, ledger, records = scripted(stamped, drawn, Policy.STREAMING, monkeypatch)
        ledger.note()
        again, _, afresh = scripted(stamped, drawn, Policy.RECOMPUTE, monkeypatch)
    ledger.check()
    assert [each.context_ids for each in records] == [each.context_ids for each in afresh]
    assert records[-1].position_ids == afresh[-1].position_ids
    base, inv_freq = ledger.stands_at()[0], stamped.network.model.language_model.rotary_emb.inv_freq
    first = rotated(session.cache.held(0)[0], -base, inv_freq)
    torch.testing.assert_close(first, again.cache.held(0)[0].double(), atol=2e-4, rtol=2e-4)
    pads = np.array(records[-1].context_ids) == stamped.markup.video_pad
    rows = np.array(records[-1].position_ids)[:, pads]
    assert np.array_equal(rows, np.round(rows)), "no fractions: patches are blocks of their own"


@pytest.mark.parametrize("num_steps", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_keys_and_memory_after_many_steps(family, num_steps: int, monkeypatch) -> None:
    turns = [said("words dots end" if k % 3 else "dots end", family, k % 7) for k in range(num_steps)]
    follow(monkeypatch, turns)
    session = StreamSession(family, SMALL)
    ledger = KeyLedger(session)
    sizes = []
    for clip in clips(num_steps, size=SIZE):
        session.step(clip)
        sizes.append((session.cache.num_bytes, session.cache.num_tokens))
    ledger.note()
    ledger.check()
    assert len({held for held, _ in sizes[10:]}) == 1
    longer_times = 8  # digits of the seconds, in a few turns
    assert max(held for _, held in sizes[20:]) <= max(held for _, held in sizes[:20]) + longer_times


@torch.inference_mode()
def test_fixed_shapes_give_the_plain_logits(family) -> None:
    own = {item.name: getattr(family, item.name) for item in fields(VideoLanguageModel)}
    forward = WordForward(family.network, compiled=False, graphs=False)
    fixed = VideoLanguageModel(**(own | {"word_forward": forward}))
    sessions = [StreamSession(each, replace(SMALL, sampling=GREEDY)) for each in (family, fixed)]
    for clip in clips(6, size=SIZE):
        for session in sessions:
            session.step(clip)
        for layer in range(sessions[0].cache.num_kv_layers):
            plain, ours = (session.cache.held(layer) for session in sessions)
            torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
        for plain, ours in zip(*(session.cache.recurrent_states for session in sessions), strict=True):
            torch.testing.assert_close(ours.matrix, plain.matrix, atol=1e-5, rtol=1e-5)
    position = sessions[0].context.next_position
    words = [each.words(session.cache) for each, session in zip((family, fixed), sessions, strict=True)]
    logits = [each.feed(77, position) for each in words]
    torch.testing.assert_close(logits[1], logits[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_5", *SQUARE])
def test_a_restored_session_goes_on_as_if_undisturbed(model, name: str, policy: Policy) -> None:
    """Deep features are of the state: under ``recompute`` kept frames are fed again. So are fixed states."""
    stamped = made_model(name, model.tokenizer)
    options = replace(SMALL, policy=policy, restart_seconds=3, fps=4.0, sampling=GREEDY)
    session, _, _ = run(stamped, options, 5)
    saved = session.snapshot()
    has_deep = name == "qwen3_vl" and policy is Policy.RECOMPUTE
    assert any(name.startswith("deep.") for name in saved.tensors) == has_deep
    assert ("cache.matrix" in saved.tensors) == (name == "qwen3_5")
    json.dumps(saved.plain)
    watched = [recording(stamped) for _ in range(2)]
    other = StreamSession(watched[0], options)
    other.restore(replace(saved, plain=json.loads(json.dumps(saved.plain))))
    session._feeder = LoneFeeder(watched[1])
    for clip in clips(9, fps=4.0, size=SIZE)[5:]:
        first, second = session.step(clip), other.step(clip)
        assert first.num_cached_tokens == second.num_cached_tokens
    for ours, theirs in zip(watched[0].fed, watched[1].fed, strict=True):
        torch.testing.assert_close(ours.logits, theirs.logits, atol=0, rtol=0)


def test_a_state_with_features_is_read_back_from_its_file(family, tmp_path: Path) -> None:
    """Its shapes are those that the file is checked for, in every family."""
    options = replace(SMALL, policy=Policy.RECOMPUTE, sampling=replace(GREEDY, max_new_tokens=2), title="x")

    def words(duration: float, controls: Controls | None = None) -> list[str]:
        told = replace(options, duration=duration)
        with open_source("arena:soccer,seed=5,minutes=1") as source:
            events = list(stream_video(family, source, told, controls=controls))
        return [event.text for event in events if isinstance(event, StepEvent)]

    path = tmp_path / "s.svlm"
    first = words(3.0, Controls(keeper=StateKeeper(path)))
    assert first + words(4.0, Controls(resume=load_state(path))) == words(4.0)


@pytest.mark.parametrize("how", ["int8", "bfloat16", "packed"])
@pytest.mark.parametrize("name", ["qwen3_vl_moe", "qwen3_5_moe", *SQUARE])
def test_other_number_formats_stream(model, name: str, how: str) -> None:
    made = made_model(name, model.tokenizer, dtype=torch.bfloat16 if how == "bfloat16" else torch.float32)
    exact = made_model(name, model.tokenizer)
    if how != "bfloat16":
        prepare(made.network, "made", "int8" if how == "int8" else "none", packed=True)
    watched = [recording(each) for each in (made, exact)]
    for each in watched:
        run(each, replace(SMALL, sampling=replace(GREEDY, max_new_tokens=1)), 8)
    first = [each.fed[0].logits.float() for each in watched]
    near = torch.corrcoef(torch.stack(first))[0, 1]
    assert near > (0.9999 if how == "packed" else 0.99)


def test_a_question_stands_behind_the_time_and_static_places_leave_no_empty_block(stamped) -> None:
    session = StreamSession(stamped, replace(SMALL, drop_static=4.0, fps=8.0, sampling=GREEDY))
    still = [
        replace(clip, frames=clips(1, fps=8.0, size=SIZE)[0].frames) for clip in clips(2, fps=8.0, size=SIZE)
    ]
    for clip in still:
        clip.frames[:] = clip.frames[:1]
    session.step(still[0])
    answer, _ = session.step_asked(still[1], "who is that?")
    assert answer.question == "who is that?"
    text = stamped.tokenizer.decode(session.context.ids).replace("<|video_pad|>", "")
    assert text.count("<|vision_start|>") == 2, "one patch of the first second, one place of the next"
    assert "Time=1.0-2.0s who is that?<1.1 seconds><|vision_start|><|vision_end|><|im_end|>" in text


@pytest.fixture(scope="module")
def recurrent(model) -> VideoLanguageModel:
    return made_model("qwen3_5", model.tokenizer)


def told(watched, options: StreamSettings, *, before_step) -> list[torch.Tensor]:
    """Logits of a stream of eight steps, ``before_step`` called ahead of each."""
    session = ProbedSession(watched, options)
    logits = []
    for clip in clips(8, size=SIZE):
        before_step(session, clip)
        watched.fed.clear()
        session.step(clip)
        logits += [fed.logits for fed in watched.fed]
    return logits


@pytest.mark.parametrize("policy", [Policy.STREAMING, Policy.FULL, Policy.WINDOW])
def test_a_state_that_forgets_nothing_is_put_back(recurrent, policy: Policy) -> None:
    """A question aside and a step that fails leave no trace in layers that cannot take a token out."""
    options = replace(SMALL, policy=policy, restart_seconds=3, sampling=GREEDY)

    def ask(session, clip) -> None:
        session.reply(clip, "what happens now?", 4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session._writer, "read_answer", lambda *_args, **_how: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                session.step_asked(clip, "and now?")

    quiet = told(recording(recurrent), options, before_step=lambda *_: None)
    asked = told(recording(recurrent), options, before_step=ask)
    for one, other in zip(quiet, asked, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_what_is_evicted_echoes_in_streaming_and_not_in_recompute(model) -> None:
    """Two streams that differ in their first second alone, after it has left the cache."""
    recurrent = made_model("qwen3_5", model.tokenizer)
    for layer in recurrent.network.model.language_model.layers:
        if hasattr(layer, "linear_attn"):
            layer.linear_attn.A_log.data.fill_(-6.0)  # random ones forget within a few tokens
    shown = clips(4, size=SIZE)
    other = [replace(shown[0], frames=255 - shown[0].frames), *shown[1:]]
    states = {}
    for policy in (Policy.STREAMING, Policy.RECOMPUTE):
        said = StreamSettings(policy=policy, vision_window=1, rounds=1, sink=0, text_window=0)
        held = []
        for each in (shown, other):
            session = StreamSession(recurrent, said)
            with pytest.MonkeyPatch.context() as patch:
                follow(patch, [[recurrent.markup.turn_end]] * 4)
                for clip in each:
                    session.step(clip)
            held.append(torch.cat([each.matrix for each in session.cache.recurrent_states]))
        states[policy] = (held[0] - held[1]).abs().max()
    assert states[Policy.RECOMPUTE] == 0
    assert states[Policy.STREAMING] > 0


def test_thoughts_are_closed_before_each_answer(model) -> None:
    """As Qwen3.5's chat template writes it with thinking off, in streaming and in training alike."""
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.add_tokens(["<think>", "</think>"])
    writer = PromptWriter(tokenizer, find_markup(tokenizer, 2, thinks=True))
    parts = writer.turn(0, 0.0, 1.0, (1, 1, 1))
    text = tokenizer.decode([token for part in parts for token in part.ids])
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
    plain = PromptWriter(model.tokenizer, find_markup(model.tokenizer, 2, thinks=True))
    assert plain.turn(0, 0.0, 1.0, (1, 1, 1))[-1].ids == plain.encode("<|im_start|>assistant\n")
