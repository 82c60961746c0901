"""LiveCC as it was trained, from the facts of its published code; and when to speak."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from svlm_cli import (
    Policy,
    Sampling,
    StepEvent,
    StreamSession,
    StreamSettings,
    UsageError,
    open_source,
    stream_video,
)
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.settings import PromptFormat
from svlm_cli.stream.step.livecc import first_joined, fitted
from svlm_cli.stream.step.speech import Speaker
from svlm_cli.stream.trace import TraceRecord

from .engine import clips, follow

NUM_TURNS = 30
LIVECC = StreamSettings(prompt_format=PromptFormat.LIVECC)


@pytest.fixture(scope="module")
def livecc(qwen2_vl_model):
    return replace(qwen2_vl_model, name="chenjoya/LiveCC-7B-Instruct")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, make_video) -> str:
    return str(make_video(tmp_path_factory.mktemp("video") / "v.mp4", seconds=NUM_TURNS + 2.0))


@pytest.mark.parametrize("seed", [1, 2])
def test_ids_of_thirty_turns_are_those_of_its_rules(livecc, video: str, seed: int, monkeypatch) -> None:
    """System, then at once the user; three seconds first; title and earlier words in the query."""
    dice = random.Random(seed)

    def encode(text: str) -> list[int]:
        return livecc.tokenizer.encode(text, add_special_tokens=False)

    lines = [
        " ".join(dice.choices(["goal", "what", "a", "save", "he's"], k=dice.randrange(4)))
        for _ in range(NUM_TURNS)
    ]
    dots = [(encode(f" {line}") if line else []) + encode(" ...") + encode("<|im_end|>") for line in lines]
    follow(monkeypatch, dots)
    records: list[TraceRecord] = []
    settings = StreamSettings(
        title="Cup final", previous_text="it is raining", min_pixels=3136, max_pixels=12544
    )
    with open_source(video) as source:
        events = list(stream_video(livecc, source, settings, records.append))
    steps = [event for event in events if isinstance(event, StepEvent)]
    assert [(step.start_seconds, step.end_seconds) for step in steps[:3]] == [(0, 3), (3, 4), (4, 5)]
    assert [step.num_frames for step in steps[:2]] == [6, 2]
    assert len(steps) == NUM_TURNS
    expected = encode("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")
    query = "Cup final it is raining\nCommentate on this match"
    for number, record in enumerate(records):
        start, end = (0, 3) if number == 0 else (number + 2, number + 3)
        if number:
            expected += encode("\n")
        expected += (
            encode("<|im_start|>user\n") + encode(f"Time={start}.0-{end}.0s") + encode("<|vision_start|>")
        )
        num_pads = len(record.context_ids) - len(expected)
        tail = encode("<|vision_end|>") + (encode(query) if number == 0 else [])
        tail += encode("<|im_end|>\n") + encode("<|im_start|>assistant\n")
        expected += encode("<|video_pad|>") * (num_pads - len(tail)) + tail
        assert record.context_ids == expected, f"turn {number}"
        pads = sum(token == livecc.markup.video_pad for token in record.context_ids)
        assert pads % (end - start if number == 0 else 1) == 0
        expected += dots[number]
    assert records[-1].num_cached >= len(records[-1].context_ids)


def test_the_format_is_chosen_by_the_name_of_the_checkpoint(livecc, qwen2_vl_model) -> None:
    for name, is_livecc in (
        ("chenjoya/LiveCC-7B-Base", True),
        ("models/LiveCC-7B-Instruct/", True),
        ("chenjoya/livecc-7b-base", True),
        ("mine/mylivecc-7b-base", False),
        ("hub/models--chenjoya--LiveCC-7B-Base/snapshots/0a3f9c", True),
        ("hub/models--mine--LiveCC-7B-Base-tuned/snapshots/0a3f9c", False),
        ("mine/LiveCC-7B-Instruct-tuned", False),
        ("Qwen/Qwen2-VL-7B-Instruct", False),
    ):
        chosen = fitted(StreamSettings(), replace(qwen2_vl_model, name=name))
        assert (chosen.prompt_format is PromptFormat.LIVECC) == is_livecc, name
    own = fitted(StreamSettings(), livecc)
    assert (own.policy, own.max_pixels, own.sampling.max_new_tokens) == (Policy.FULL, 384 * 28 * 28, 16)
    told = replace(
        StreamSettings(), max_pixels=9408, policy=Policy.WINDOW, sampling=Sampling(max_new_tokens=32)
    )
    kept = fitted(told, livecc)
    assert (kept.policy, kept.max_pixels, kept.sampling.max_new_tokens) == (Policy.WINDOW, 9408, 32)
    plain = fitted(replace(StreamSettings(), prompt_format=PromptFormat.SVLM), livecc)
    assert plain.policy is Policy.STREAMING
    with pytest.raises(UsageError, match="recompute evicts"):
        fitted(replace(StreamSettings(), policy=Policy.RECOMPUTE), livecc)


@pytest.mark.parametrize(("num", "lengths"), [(0, []), (1, [1]), (2, [2]), (3, [3]), (5, [3, 1, 1])])
def test_the_first_three_seconds_are_one_clip(num: int, lengths: list[int]) -> None:
    joined = list(first_joined((clip for clip in clips(num)), LIVECC))
    assert [len(clip.frames) // 2 for clip in joined] == lengths
    assert [clip.end_seconds - clip.start_seconds for clip in joined] == lengths


def test_pictures_of_another_size_are_not_joined() -> None:
    shown = [clips(1)[0], replace(clips(2, size=(112, 140))[1]), clips(3)[2]]
    found = list(first_joined((clip for clip in shown), LIVECC))
    assert [clip.frames.shape[0] for clip in found] == [2, 2, 2]


@pytest.mark.parametrize("greedy", [True, False])
def test_a_second_is_silent_exactly_where_silence_is_likely_enough(model, greedy: bool) -> None:
    silence = model.tokenizer.encode(" ...", add_special_tokens=False)[0]

    def stream(threshold: float) -> tuple[list[float], list[bool]]:
        """How likely silence was in each second, and whether it was silent."""
        sampling = Sampling(4, greedy=greedy, silence_threshold=threshold)
        records: list[TraceRecord] = []
        settings = StreamSettings(vision_window=2, rounds=2, sampling=sampling)
        session = StreamSession(model, settings, records.append)
        shares: list[float] = []
        decided = session._speaker._decided

        def watched(logits: torch.Tensor) -> torch.Tensor:
            shares.append(float(torch.softmax(logits.float(), -1)[silence]))
            return decided(logits)

        session._speaker._decided = watched
        for clip in clips(12):
            session.step(clip)
        return shares, [record.generated_ids[0] == silence for record in records]

    shares, _ = stream(0.999)
    threshold = float(np.median(shares))
    shares, is_silent = stream(threshold)
    assert is_silent == [share >= threshold for share in shares]
    assert set(is_silent) == {True, False}


@pytest.mark.parametrize("seed", range(40))
def test_neither_penalty_nor_temperature_undoes_it(model, seed: int) -> None:
    draw = np.random.default_rng(seed)
    writer = PromptWriter(model.tokenizer, model.markup)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(max(500, writer.silence + 1), generator=generator)
    logits = logits * float(draw.uniform(1, 20)) + float(draw.uniform(-60, 60))
    share = float(torch.softmax(logits, -1)[writer.silence])
    for factor in (0.5, 1.5):
        sampling = Sampling(
            repetition_penalty=float(10 ** draw.uniform(-1.5, 1.5)),
            temperature=float(10 ** draw.uniform(-2, 3)),
            top_k=int(draw.integers(1, 2 * len(logits))),
            greedy=bool(seed % 2),
            silence_threshold=min(0.99, max(1e-30, share * factor)),
        )
        speaker = Speaker(sampling, writer, torch.device("cpu"))
        speaker.sampler.begin([*draw.integers(0, len(logits), 90).tolist(), writer.silence][: 90 + seed % 3])
        is_silent = speaker.sampler.draw(speaker._decided(logits)) == writer.silence
        assert is_silent == (share >= sampling.silence_threshold)


@pytest.mark.parametrize("wrong", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_is_a_probability(wrong: float) -> None:
    with pytest.raises(UsageError, match="--silence-threshold must be between 0 and 1"):
        Sampling(silence_threshold=wrong)
