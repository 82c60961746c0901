"""The loss of training against one worked out by hand with Hugging Face's own forward."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from svlm_cli.data.chunks.chunk import Chunk, ChunkFile
from svlm_cli.media.file.reader import open_video
from svlm_cli.model.patches import PatchSettings, clip_to_patches
from svlm_cli.train.trainer import train
from tests.train.clips import PIXELS, clip_recipe, losses, overlapping

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def by_hand(chunk: Chunk, folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Ids, labels, positions and pixels of a chunk, from the text of the method's description alone."""
    ids: list[int] = []
    labels: list[int] = []
    rows: list[list[float]] = []
    pixels, grids = [], []
    place = 0.0

    def write(text: str, *, is_answer: bool = False) -> None:
        nonlocal place
        for token in tokenizer.encode(text, add_special_tokens=False):
            ids.append(token)
            labels.append(token if is_answer else -100)
            rows.append([place] * 3)
            place += 1

    write(SYSTEM)
    write("<|im_start|>previous text\n")
    write(chunk.previous_text)
    write("<|im_end|>\n")
    settings = PatchSettings(min_pixels=PIXELS, max_pixels=PIXELS)
    seconds = chunk.end_seconds - chunk.start_seconds
    with open_video(folder / chunk.video) as video:
        clips = list(video.clips(2.0, 1.0, float(chunk.start_seconds), float(seconds)))
    for number, clip in enumerate(clips):
        second = chunk.start_seconds + number
        if number:
            write("\n")
        write("<|im_start|>user\n")
        write(f"Time={second}.0-{second + 1}.0s")
        write("<|vision_start|>")
        patches = clip_to_patches(clip.frames, settings)
        time, height, width = patches.grid_thw
        first = place
        for t in range(time):
            for h in range(height // 2):
                for w in range(width // 2):
                    ids.append(tokenizer.convert_tokens_to_ids("<|video_pad|>"))
                    labels.append(-100)
                    rows.append([first + t * 2.0, first + h, first + w])
                    place = max(place, *rows[-1])
        place += 1
        pixels.append(patches.pixel_values)
        grids.append(patches.grid_thw)
        write("<|vision_end|>")
        write(f"{'Commentate on this match' if number == 0 else ''}")
        write("<|im_end|>\n")
        write("<|im_start|>assistant\n")
        said = [word.text for word in chunk.words if second < word.end_seconds <= second + 1]
        if said:
            write(f" {' '.join(said)}", is_answer=True)
        write(" ...", is_answer=True)
        write("<|im_end|>", is_answer=True)
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor(labels),
        "position_ids": torch.tensor(rows).T[:, None],
        "pixel_values_videos": torch.cat(pixels),
        "video_grid_thw": torch.tensor(grids),
    }


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Four chunks of a clip."""
    return overlapping(tmp_path_factory.mktemp("chunks") / "data", make_video, num_chunks=4)


@pytest.fixture(scope="module")
def loss_by_hand(chunks: Path, checkpoint: Path) -> float:
    """Over all answers of the four chunks."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    network = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    stored = ChunkFile(chunks, "train_s2w4")
    total, count = 0.0, 0
    for number in range(len(stored)):
        sample = by_hand(stored[number], chunks, tokenizer)
        labels = sample.pop("labels")
        with torch.no_grad():
            logits = network(**sample).logits[0].double()
        for place in range(1, len(labels)):
            if labels[place] != -100:
                total -= float(torch.log_softmax(logits[place - 1], -1)[labels[place]])
                count += 1
    return total / count


@pytest.mark.parametrize("form", ["padded", "packed", "one by one", "cached", "checkpointed", "in a worker"])
def test_the_first_steps_loss_is_that_of_a_forward_by_hand(
    form: str, tmp_path: Path, checkpoint: Path, chunks: Path, loss_by_hand: float
) -> None:
    stage = {
        "padded": {"micro_batch": 4},
        "packed": {"micro_batch": 4, "packing": True},
        "one by one": {"micro_batch": 1, "accumulate": 4},
        "cached": {"micro_batch": 2, "accumulate": 2, "cache_vision": True},
    }.get(form, {"micro_batch": 2, "accumulate": 2})
    settings = {"checkpointed": ["gradient_checkpointing=true"], "in a worker": ["workers=1"]}.get(form, [])
    recipe = clip_recipe(tmp_path, checkpoint, chunks, settings, steps=1, **stage)
    train(recipe, tmp_path / "run")
    ours = losses(tmp_path / "run" / "sft")[0]
    assert ours == pytest.approx(loss_by_hand, rel=1e-5)
    assert math.isfinite(ours)


def test_labels_are_exactly_the_answers(tmp_path: Path, checkpoint: Path, chunks: Path) -> None:
    from svlm_cli.train.learner import open_learner
    from svlm_cli.train.stage_data import open_chunks

    recipe = clip_recipe(tmp_path, checkpoint, chunks)
    learner = open_learner(recipe, recipe.stages[0], None)
    dataset = open_chunks(learner, recipe.stages[0].chunks[0])
    for number in range(len(dataset)):
        sample = dataset[number]
        expected = by_hand(dataset.chunks[number], chunks, learner.tokenizer)
        np.testing.assert_array_equal(sample.input_ids, expected["input_ids"][0])
        np.testing.assert_array_equal(sample.labels, expected["labels"])
        np.testing.assert_allclose(sample.position_ids, expected["position_ids"][:, 0])
