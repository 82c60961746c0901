"""A sample against what a stream holds for the same seconds and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from svlm_cli import load_model
from svlm_cli.arena.source import ArenaSource
from svlm_cli.data.samples.sample import IGNORED, SampleWriter, Turn
from svlm_cli.model.patches import clip_to_patches
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.session import StreamSession
from tests.stream.engine import follow
from tests.train.small import batch_of, network

LINES = ["kick off by red Lions", "", "pass by red Lions", ""]
OPENING = "red Lions against blue Sharks score two nil first to ten referee Moreno"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    from svlm_cli.train.learner import new_tokenizer

    folder = tmp_path_factory.mktemp("small")
    tokenizer = new_tokenizer()
    network(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(str(folder), device="cpu")


def written(model, fps: float, query: str):
    clips = list(ArenaSource("arena:soccer?seed=3&size=168x112").clips(fps, 1.0, 5.0, len(LINES)))
    writer = PromptWriter(model.tokenizer, model.markup)
    stride = time_stride(fps, model.patches.temporal_patch_size, model.tokens_per_second)
    turns = [
        Turn(clip.start_seconds, clip.end_seconds, line, clip_to_patches(clip.frames, model.patches))
        for clip, line in zip(clips, LINES, strict=True)
    ]
    sample = SampleWriter(writer, model.patches.merge_size, stride).write(OPENING, turns, query=query)
    return clips, writer, sample


@pytest.mark.parametrize("fps", [2.0, 8.0])
@pytest.mark.parametrize("query", ["Commentate on this match", ""])
def test_a_sample_is_what_a_stream_holds(
    model, monkeypatch: pytest.MonkeyPatch, fps: float, query: str
) -> None:
    clips, writer, sample = written(model, fps, query)
    follow(monkeypatch, [writer.spoken(line) for line in LINES])
    session = StreamSession(model, StreamSettings(fps=fps, query=query, previous_text=OPENING))
    for clip in clips:
        session.step(clip)
    assert session.context.ids.tolist() == sample.input_ids.tolist()
    np.testing.assert_allclose(session.context.rows(), sample.position_ids)


def test_labels_are_the_answers_and_nothing_else(model) -> None:
    _, writer, sample = written(model, 2.0, "")
    said = sample.labels[sample.labels != IGNORED].tolist()
    assert said == [token for line in LINES for token in writer.spoken(line)]
    kept = sample.labels == np.where(sample.labels == IGNORED, IGNORED, sample.input_ids)
    assert kept.all()


@pytest.mark.parametrize("reply", ["two nil", ""])
def test_of_a_line_that_is_not_trained_on_the_reply_alone_is(model, reply: str) -> None:
    writer = PromptWriter(model.tokenizer, model.markup)
    turns = [
        Turn(0.0, 1.0, "pass by red Lions", symbols=(" pass", " red")),
        Turn(
            1.0,
            2.0,
            "score nil nil",
            None,
            (" score", " ..."),
            "how does it stand",
            reply,
            is_line_trained=False,
        ),
    ]
    whole, part = (
        SampleWriter(writer, 4, 2.0).write(OPENING, [turns[0], turn])
        for turn in (replace(turns[1], is_line_trained=True), turns[1])
    )
    assert whole.input_ids.tolist() == part.input_ids.tolist()
    said = model.tokenizer.decode(part.input_ids[part.labels != IGNORED])
    replied = f" {reply}\n" if reply else ""
    assert said == f" pass by red Lions ...<|im_end|>{replied} ...<|im_end|>"


def test_padding_changes_no_logits(model) -> None:
    _, writer, sample = written(model, 2.0, "")
    short = SampleWriter(writer, model.patches.merge_size, 2.0).write(OPENING, [])
    batch, _ = batch_of([sample, short])
    alone, _ = batch_of([sample])
    assert batch["position_ids"].shape[:2] == (3, 2)
    with torch.no_grad():
        both, one = (model.network(**each).logits for each in (batch, alone))
    torch.testing.assert_close(both, one, atol=1e-4, rtol=1e-4)


def test_a_bare_row_asks_before_the_frames_and_answers_behind_them(model) -> None:
    writer = PromptWriter(model.tokenizer, model.markup)
    turns = [
        Turn(0.0, 1.0, "pass by red Lions", symbols=(" pass", " red")),
        Turn(1.0, 2.0, "", symbols=(" ...", " red"), question="who has the ball", reply="red"),
    ]
    sample = SampleWriter(writer, 4, 2.0).write(OPENING, turns, bare=True)
    first = "<|vision_start|> pass red<|vision_end|> pass by red Lions ...<|im_end|>"
    second = " who has the ball<|vision_start|> ... red<|vision_end|> red\n ...<|im_end|>"
    assert model.tokenizer.decode(sample.input_ids).endswith(first + second)
    trained = model.tokenizer.decode(sample.input_ids[sample.labels >= 0])
    assert trained == " pass by red Lions ...<|im_end|> red\n ...<|im_end|>"
    assert len(sample.position_ids[0]) == len(sample.input_ids)


def test_a_word_in_place_of_frames_keeps_its_place(model) -> None:
    writer = PromptWriter(model.tokenizer, model.markup)
    sample = SampleWriter(writer, 4, 2.0).write(
        OPENING, [Turn(0.0, 1.0, "pass by red Lions", symbols=(" pass", " red"))], bare=True
    )
    text = model.tokenizer.decode(sample.input_ids)
    assert text.endswith("<|vision_start|> pass red<|vision_end|> pass by red Lions ...<|im_end|>")
