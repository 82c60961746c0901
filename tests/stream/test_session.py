"""The engine against full forwards of the Hugging Face model and brute-force bookkeeping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svlm_cli import Policy, Sampling, StreamSession, StreamSettings
from svlm_cli.model.patches import clip_to_patches
from svlm_cli.model.window import SpanKind

from .engine import KeyLedger, clips, follow, recording, rotated

GREEDY = Sampling(greedy=True, max_new_tokens=5)


def full_forward(model, shown, record) -> torch.Tensor:
    """Hugging Face's own forward over a whole context: logits (n, v)."""
    patches = [clip_to_patches(clip.frames, model.patches) for clip in shown]
    with torch.inference_mode():
        return model.network(
            input_ids=torch.tensor([record.context_ids]),
            position_ids=torch.tensor(record.position_ids, dtype=torch.float32)[:, None],
            pixel_values_videos=torch.cat([patch.pixel_values for patch in patches]),
            video_grid_thw=torch.tensor([patch.grid_thw for patch in patches]),
        ).logits[0]


def run(model, options: StreamSettings, num_steps: int, **clip_options):
    records = []
    session = StreamSession(model, options, records.append)
    events = [session.step(clip) for clip in clips(num_steps, fps=options.fps, **clip_options)]
    return session, records, events


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl"])
@pytest.mark.parametrize(("policy", "num_steps"), [(Policy.STREAMING, 4), (Policy.FULL, 9)])
def test_logits_equal_one_full_forward(family, policy, num_steps, request):
    """Prefill and every decoded token, until the first eviction; ``full`` has none."""
    model = recording(request.getfixturevalue("model" if family == "qwen2_5_vl" else "qwen2_vl_model"))
    options = StreamSettings(policy=policy, vision_window=4, rounds=4, previous_text="a b c", sampling=GREEDY)
    _, records, _ = run(model, options, num_steps)
    expected = full_forward(model, clips(num_steps), records[-1])
    num_compared = 0
    for fed in model.fed:
        last = fed.start + fed.positions.shape[1] - 1
        if last < len(expected):
            torch.testing.assert_close(fed.logits, expected[last], atol=1e-4, rtol=1e-4)
            num_compared += 1
    assert num_compared >= num_steps + (num_steps - 1) * 2
    assert expected.std() > 0.1, "the checkpoint must be sharp enough for a wrong key to show"


def test_wrong_positions_would_show(model):
    """The comparison above has teeth: one token moved by one position breaks it."""
    options = StreamSettings(policy=Policy.FULL, sampling=GREEDY)
    _, records, _ = run(model, options, 2)
    right = full_forward(model, clips(2), records[-1])
    rows = np.array(records[-1].position_ids)
    rows[:, -30] += 1
    records[-1].position_ids[:] = rows.tolist()
    assert (full_forward(model, clips(2), records[-1])[-1] - right[-1]).abs().max() > 1e-3


SHAPES = ("words dots end", "words end", "dots end", "end", "words cut", "words endoftext", "words dots cut")


def said(shape: str, model, number: int) -> list[int]:
    """One scripted answer of a given shape, all words different."""
    words = [1000 + 10 * number + i for i in range(1 + number % 3)]
    dots = model.tokenizer.encode(" ...", add_special_tokens=False)
    roles = {
        "words": words,
        "dots": dots,
        "end": [model.markup.turn_end],
        "endoftext": [model.markup.end_of_text],
        "cut": [],
    }
    return [token for role in shape.split() for token in roles[role]]


walk = st.fixed_dictionaries(
    {
        "vision": st.integers(1, 5),
        "rounds": st.integers(1, 5),
        "sink": st.integers(0, 9),
        "text_window": st.integers(0, 9),
        "text": st.integers(0, 25),
        "shapes": st.lists(st.sampled_from(SHAPES), min_size=2, max_size=12),
        "fps": st.sampled_from([2.0, 4.0, 6.0]),
    }
)


def walk_settings(drawn, policy: Policy) -> StreamSettings:
    return StreamSettings(
        fps=drawn["fps"],
        policy=policy,
        vision_window=drawn["vision"],
        rounds=drawn["rounds"],
        sink=drawn["sink"],
        text_window=drawn["text_window"],
        previous_text=" ".join("abcdefghijklmnopqrstuvwxyz"[: drawn["text"]]),
    )


def scripted(model, drawn, policy: Policy, monkeypatch) -> tuple[StreamSession, KeyLedger, list]:
    turns = [said(shape, model, number) for number, shape in enumerate(drawn["shapes"])]
    follow(monkeypatch, turns)
    records: list = []
    session = StreamSession(model, walk_settings(drawn, policy), records.append)
    ledger = KeyLedger(session)
    for clip in clips(len(turns), fps=drawn["fps"]):
        session.step(clip)
    return session, ledger, records


QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(drawn=walk)
def test_keys_and_positions_after_evictions(model, drawn):
    check_walk(model, drawn)


@pytest.mark.slow
@settings(QUICK, max_examples=500)
@given(drawn=walk)
def test_keys_and_positions_after_evictions_of_many_more_walks(model, drawn):
    check_walk(model, drawn)


def check_walk(model, drawn) -> None:
    """Stored keys equal a fresh rotation of their originals; layer 0 agrees with ``recompute``."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        session, ledger, records = scripted(model, drawn, Policy.STREAMING, monkeypatch)
        ledger.note()
        again, _, afresh = scripted(model, drawn, Policy.RECOMPUTE, monkeypatch)
    cache = session.cache
    inv_freq = model.network.model.language_model.rotary_emb.inv_freq
    ledger.check()
    assert [r.context_ids for r in records] == [r.context_ids for r in afresh]
    np.testing.assert_allclose(records[-1].position_ids, afresh[-1].position_ids)
    first = rotated(cache.held(0)[0], -ledger.stands_at()[0], inv_freq)
    torch.testing.assert_close(first, again.cache.held(0)[0].double(), atol=2e-4, rtol=2e-4)
    torch.testing.assert_close(cache.held(0)[1], again.cache.held(0)[1], atol=1e-4, rtol=1e-4)
    grid = clip_to_patches(clips(1, fps=drawn["fps"])[0].frames, model.patches).grid_thw
    for record in records:
        expected = renumbered(record.context_ids, model.markup.video_pad, grid, stride=4 / drawn["fps"])
        np.testing.assert_allclose(expected, record.position_ids, atol=1e-6)


def renumbered(ids: list[int], pad: int, grid: tuple[int, int, int], stride: float) -> np.ndarray:
    """Walk the kept ids one by one, counting as the specification says: positions (3, n)."""
    frames, height, width = grid[0], grid[1] // 2, grid[2] // 2
    expected: list[tuple[float, float, float]] = []
    index, start = 0, 0.0
    while index < len(ids):
        if ids[index] == pad:
            block = [
                (start + t * stride, start + h, start + w)
                for t in range(frames)
                for h in range(height)
                for w in range(width)
            ]
            expected += block
            index += len(block)
            start = max(max(position) for position in block) + 1
        else:
            expected.append((start, start, start))
            index, start = index + 1, start + 1
    return np.array(expected).T


def test_the_last_token_has_no_states_yet(model):
    _, records, events = run(model, StreamSettings(sampling=GREEDY), 3)
    for record, event in zip(records, events, strict=True):
        num_pending = 2 if record.generated_ids[-2:-1] and event.num_new_tokens == 5 else 1
        assert record.num_cached == len(record.context_ids) + len(record.generated_ids) - num_pending
        assert event.num_cached_tokens == record.num_cached


def test_window_policy_starts_afresh(model):
    options = StreamSettings(
        policy=Policy.WINDOW,
        restart_seconds=3,
        title="Lions",
        previous_text="one nil",
        query="Say",
        sampling=GREEDY,
    )
    _, records, events = run(model, options, 7)
    told = [model.tokenizer.decode(record.context_ids) for record in records]
    assert "Lions one nil" in told[0]
    assert "Lions one nil" in told[2]
    for step in (3, 6):
        assert told[step].count("<|im_start|>user") == 1
        assert f"Time={step}.0-{step + 1}.0s" in told[step]
        assert "previous text\n<|im_end|>" in told[step]
        assert "Say<|im_end|>" in told[step]
        assert records[step].position_ids[0][0] == 0
    assert events[3].num_cached_tokens < events[2].num_cached_tokens


def test_policies_agree_before_the_first_eviction(model):
    texts = {}
    for policy in Policy:
        _, _, events = run(
            model, StreamSettings(policy=policy, vision_window=3, rounds=3, sampling=GREEDY), 3
        )
        texts[policy] = [event.text for event in events]
    assert len({tuple(text) for text in texts.values()}) == 1


def test_same_seed_same_words(model):
    def words(seed: int) -> list[str]:
        options = StreamSettings(vision_window=2, rounds=2, sampling=Sampling(seed=seed, max_new_tokens=6))
        return [event.text for event in run(model, options, 5)[2]]

    assert words(1) == words(1)
    assert words(1) != words(2)


def test_sizes_may_change_in_mid_stream(model):
    options = StreamSettings(vision_window=2, rounds=3, sampling=GREEDY)
    session = StreamSession(model, options)
    small, large = clips(6), clips(6, size=(112, 140))
    for index in range(6):
        event = session.step((large if index in (2, 3) else small)[index])
    grids = [span.grid for span in session.context.spans if span.kind is SpanKind.VIDEO]
    assert len(grids) == 2
    assert event.num_vision_tokens == sum(t * h * w for t, h, w in grids)


def test_cache_stays_within_its_first_room(model):
    """No growth once the window is full: room is made for the bound from the start."""
    options = StreamSettings(vision_window=3, rounds=4, sink=8, text_window=16, sampling=GREEDY)
    session = StreamSession(model, options)
    sizes = []
    for clip in clips(40):
        session.step(clip)
        sizes.append((session.cache.capacity, session.cache.num_tokens))
    assert len({capacity for capacity, _ in sizes}) == 1
    assert max(held for _, held in sizes[10:]) <= sizes[0][0]
