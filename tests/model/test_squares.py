"""Families that take square frames: pictures and prompts against transformers' own processors."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from svlm_cli import StreamSession, StreamSettings, UsageError
from svlm_cli.model.family.dialect import Dialect
from svlm_cli.model.family.random_config import family_tokenizer, random_config
from svlm_cli.model.family.table import FAMILIES, markup_of, patch_settings
from svlm_cli.model.patches import PatchSettings, clip_to_patches
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.vision.squares import Square
from tests.families import SQUARE, made_model
from tests.stream.engine import clips


def by_the_library(family: str, frames: np.ndarray, settings: PatchSettings) -> np.ndarray:
    """(T, 3, S, S) as the image processor of the family makes it of each frame alone."""
    assert settings.square is not None
    side = settings.square.side
    size = {"height": side, "width": side}
    normal = {"image_mean": list(settings.image_mean), "image_std": list(settings.image_std)}
    processor: Any
    if family == "smolvlm":
        longest = {"longest_edge": side}
        processor = SmolVLMImageProcessorPil(
            size=longest, max_image_size=longest, do_image_splitting=False, **normal
        )
    elif family == "internvl":
        processor = GotOcr2ImageProcessorPil(size=size, crop_to_patches=False, resample=3, **normal)
    else:
        processor = LlavaOnevisionImageProcessorPil(
            size=size, image_grid_pinpoints=[[side, side]], resample=3, **normal
        )
    seen = processor(list(frames), return_tensors="np")["pixel_values"]
    if family == "llava_onevision":  # each picture once whole and once in tiles, of which there is one
        seen = seen[:, 0]
    return np.asarray(seen).reshape(len(frames), 3, side, side)


@pytest.mark.parametrize("family", SQUARE)
@pytest.mark.parametrize("seed", range(4))
def test_pixels_are_those_of_the_librarys_image_processor(model, family: str, seed: int) -> None:
    dice = random.Random(f"{family} {seed}")
    tokenizer = family_tokenizer(model.tokenizer, family)
    settings = patch_settings(random_config(dice.choice(["tiny", "180m"]), family, tokenizer))
    height, width = dice.randint(20, 700), dice.randint(20, 700)
    frames = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    made = clip_to_patches(frames, settings)
    assert made.pixel_values.dtype == torch.float32
    expected = by_the_library(family, frames, settings)
    np.testing.assert_allclose(made.pixel_values.numpy(), expected, atol=1e-5)
    assert made.grid_thw == (2, *[settings.square.tokens_per_side] * 2)


def test_tokens_of_a_frame_are_those_of_the_published_sizes(model) -> None:
    numbers = {}
    for family in SQUARE:
        config = random_config("180m", family, family_tokenizer(model.tokenizer, family))
        numbers[family] = patch_settings(config).frame_tokens(1080, 1920)
    assert numbers == {"smolvlm": 64, "internvl": 256, "llava_onevision": 196}
    config = random_config("180m", "smolvlm", family_tokenizer(model.tokenizer, "smolvlm"))
    config.vision_config.image_size, config.vision_config.patch_size, config.scale_factor = 384, 14, 3
    assert patch_settings(config).frame_tokens(1080, 1920) == 81, "SmolVLM2-2.2B"
    config.scale_factor = 4
    with pytest.raises(ValueError, match="27 patches per side cannot be shared out in tokens of 4"):
        patch_settings(config)


def written(model, family: str, **how: Any) -> str:
    tokenizer = family_tokenizer(model.tokenizer, family)
    markup = markup_of(tokenizer, random_config("tiny", family, tokenizer))
    writer = PromptWriter(tokenizer, markup)
    grid = (2, 1, 2)
    parts = [
        *writer.opening("so far"),
        *writer.turn(0, 61.0, 62.0, grid, **how),
        *writer.answer_parts(0, writer.said("a goal")),
        writer.turn_break(0),
        *writer.turn(1, 62.0, 63.0, grid),
    ]
    return str(tokenizer.decode([token for part in parts for token in part.ids]))


def test_prompts_are_as_the_families_write_them(model) -> None:
    """Turns, marks around frames and labels are those of each one's chat template and processor."""
    frame = "<fake_token_around_image><global-img><image><image><fake_token_around_image>"
    assert written(model, "smolvlm", query="What now?") == (
        "<|im_start|>System: You are a helpful assistant.<end_of_utterance>\n"
        "Previous text: so far<end_of_utterance>\n"
        f"User: Time=61.0-62.0s\nFrame from 01:01:{frame}\nFrame from 01:01:{frame}"
        "\n\nWhat now?<end_of_utterance>\nAssistant: a goal ...<end_of_utterance>\n"
        f"User: Time=62.0-63.0s\nFrame from 01:02:{frame}\nFrame from 01:02:{frame}"
        "<end_of_utterance>\nAssistant:"
    )
    frame = "<img><IMG_CONTEXT><IMG_CONTEXT></img>"
    opening = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    opening += "<|im_start|>previous text\nso far<|im_end|>\n"
    answer = "<|im_end|>\n<|im_start|>assistant\n a goal ...<|im_end|>\n<|im_start|>user\n"
    assert written(model, "internvl", question="who?") == (
        f"{opening}<|im_start|>user\nTime=61.0-62.0s who?\nFrame1: {frame}\nFrame2: {frame}{answer}"
        f"Time=62.0-63.0s\nFrame1: {frame}\nFrame2: {frame}<|im_end|>\n<|im_start|>assistant\n"
    )
    pads = "<video>" * (2 * 2 + 1)
    assert written(model, "llava_onevision", query="What now?") == (
        f"{opening}<|im_start|>user\nTime=61.0-62.0s\n{pads}\nWhat now?{answer}"
        f"Time=62.0-63.0s\n{pads}<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("family", SQUARE)
def test_limits_of_pixels_are_refused_where_frames_have_one_size(model, family: str) -> None:
    made = made_model(family, model.tokenizer)
    with pytest.raises(UsageError, match="reads every frame as"):
        StreamSession(made, StreamSettings(max_pixels=50_000))


@pytest.mark.parametrize("family", SQUARE)
def test_places_that_do_not_change_are_left_out(model, family: str) -> None:
    """The learned line break behind a video of LLaVA-OneVision stays; so does a first frame."""
    made = made_model(family, model.tokenizer)
    session = StreamSession(made, StreamSettings(drop_static=4.0))
    clip = clips(1, fps=2.0, size=(80, 120))[0]
    still = replace(clip, frames=np.repeat(clip.frames[:1], 2, axis=0))
    per_frame, closing = made.patches.square.num_tokens, made.markup.dialect.num_closing
    for number, expected in ((0, per_frame), (1, 1)):
        seen = session.see(replace(still, start_seconds=float(number), end_seconds=number + 1.0))
        assert len(seen.video.places) == expected
        assert len(seen.video.features) == expected + closing
        session.step(seen)
    pads = session.context.ids.tolist().count(made.markup.video_pad)
    assert pads == per_frame + 1 + 2 * closing


def test_the_dialect_of_a_family_is_in_what_its_results_are_kept_under(model) -> None:
    known = {str(FAMILIES[family].dialect) for family in (*SQUARE, "qwen2_5_vl")}
    assert len(known) == len(SQUARE) + 1
    assert "dialect" not in repr(model.markup)
    assert repr(PatchSettings()).endswith("aspect_ratio=None)")
    assert "square" in repr(replace(PatchSettings(), square=Square(64, 2, "bicubic")))
    assert Dialect().header("previous text") == "<|im_start|>previous text\n"
