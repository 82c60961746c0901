"""A plain prompt against Hugging Face's own prompt, positions and forward."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from svlm_cli.bench.questions.plain import PlainPrompt
from svlm_cli.model.patches import clip_to_patches
from svlm_cli.settings import StreamSettings
from tests.families import library_inputs, made_model

LEAD = "The answer is:\n"


def hf_logits(model, frames: np.ndarray, text: str) -> torch.Tensor:
    patches = clip_to_patches(frames, model.patches)
    time, height, width = patches.grid_thw
    pads = "<|video_pad|>" * (time * height * width // 4)
    ids = torch.tensor([model.tokenizer.encode(text.replace("PADS", pads), add_special_tokens=False)])
    with torch.inference_mode():
        return model.network(
            input_ids=ids,
            pixel_values_videos=patches.pixel_values,
            video_grid_thw=torch.tensor([patches.grid_thw]),
            mm_token_type_ids=(ids == model.markup.video_pad).int() * 2,
        ).logits[0]


def chat(question: str) -> str:
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"<|vision_start|>PADS<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", ["model", "qwen2_vl_model"])
def test_scores_are_those_of_the_library(family, frames, request):
    model = request.getfixturevalue(family)
    plain = PlainPrompt(model, StreamSettings())
    expected = hf_logits(model, frames, chat("A or B?") + LEAD)[-1]
    candidates = list(range(30, 60))
    ours = plain.scores(plain.look(frames), 1.0, "A or B?", LEAD, candidates)
    torch.testing.assert_close(ours, expected[candidates], atol=1e-4, rtol=1e-4)


SMOL = "<fake_token_around_image><global-img>PADS<fake_token_around_image>"
SYSTEM = "You are a helpful assistant."
SQUARES = {
    "smolvlm": (
        f"<|im_start|>System: {SYSTEM}<end_of_utterance>\n"
        f"User: |\nFrame from 00:00:{SMOL}\nFrame from 00:01:{SMOL}"
        "\n\nA or B?<end_of_utterance>\nAssistant:"
    ),
    "internvl": (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        "<|im_start|>user\nFrame1: <img>PADS</img>\nFrame2: <img>PADS</img>"
        "\nA or B?<|im_end|>\n<|im_start|>assistant\n"
    ),
    "llava_onevision": (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nPADSPADS<video>\nA or B?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
}


@pytest.mark.parametrize("family", SQUARES)
def test_scores_of_square_frames_are_those_of_the_library(model, family, frames):
    made = made_model(family, model.tokenizer)
    patches = clip_to_patches(frames, made.patches)
    pads = made.tokenizer.decode([made.markup.video_pad]) * made.patches.square.num_tokens
    pieces = [*re.split(r"(<[^>]*>)|\|(?!im_)", SQUARES[family].replace("PADS", pads)), LEAD]
    ids = [
        token
        for piece in filter(None, pieces)
        for token in made.tokenizer.encode(piece, add_special_tokens=False)
    ]
    held = torch.tensor([ids])
    with torch.inference_mode():
        expected = made.network(input_ids=held, **library_inputs(made, [patches], held)).logits[0, -1]
    plain = PlainPrompt(made, StreamSettings())
    candidates = list(range(30, 60))
    ours = plain.scores(plain.look(frames), 1.0, "A or B?", LEAD, candidates)
    torch.testing.assert_close(ours, expected[candidates], atol=1e-5, rtol=1e-5)


def test_the_reply_and_its_likelihood(model, frames):
    plain = PlainPrompt(model, StreamSettings())
    video = plain.look(frames)
    answer = " no goal"
    logits = hf_logits(model, frames, chat("What?") + answer)
    ids = model.tokenizer.encode(answer)
    chances = torch.log_softmax(logits[-len(ids) - 1 : -1].float(), dim=-1)
    expected = float(chances[torch.arange(len(ids)), torch.tensor(ids)].sum())
    total, is_best = plain.log_likelihood(video, 1.0, "What?", answer)
    assert total == pytest.approx(expected, abs=1e-3)
    assert is_best == (chances.argmax(-1).tolist() == ids)
    reply = plain.reply(video, 1.0, "What?", 3)
    first = int(hf_logits(model, frames, chat("What?"))[-1].argmax())
    assert reply.startswith(model.tokenizer.decode([first]).strip())
