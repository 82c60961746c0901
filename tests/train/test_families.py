"""Training of every family but the first two: ids, loss, cached features, LoRA."""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svlm_cli import StreamSession, load_model
from svlm_cli.data.chunks.chunk import Chunk, ChunkFile
from svlm_cli.data.samples.chunk_dataset import ChunkDataset
from svlm_cli.media.file.reader import open_video
from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.patches import clip_to_patches
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.model.window import WindowLimits
from svlm_cli.settings import StreamSettings
from svlm_cli.train.plan import plan
from svlm_cli.train.trainer import train
from tests.families import RECURRENT, SQUARE, STAMPED, library_inputs, made_model
from tests.stream.engine import follow
from tests.train.clips import chunk_at, clip_recipe, losses, overlapping, random_words, write_chunks

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
PIXELS = 64 * 64
LENGTH = 8


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", seconds=float(LENGTH))


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_5", *SQUARE])
def family(request: pytest.FixtureRequest, model):
    tokenizer = copy.deepcopy(model.tokenizer)
    if request.param == "qwen3_5":
        tokenizer.add_tokens(["<think>", "</think>"])
    made = made_model(request.param, tokenizer)
    assert made.markup.ends_thoughts == (request.param == "qwen3_5")
    return made


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    start=st.integers(0, LENGTH - 2),
    fps=st.sampled_from([2.0, 4.0, 8.0]),
    sink=st.sampled_from([0, 5, 512]),
    text_window=st.sampled_from([1, 7, 512]),
)
def test_ids_of_a_chunk_are_what_a_stream_holds(
    family, video: Path, tmp_path: Path, seed: int, start: int, fps: float, sink: int, text_window: int
) -> None:
    dice = random.Random(seed)
    end = dice.randint(start + 1, min(LENGTH, start + 4))
    chunk = replace(chunk_at(video.name, start, end - start, dice), query=dice.choice(["", "What now?"]))
    chunk = replace(chunk, words=random_words(dice, start, end, 1.5))
    write_chunks(tmp_path, [chunk])
    (tmp_path / video.name).unlink(missing_ok=True)
    (tmp_path / video.name).symlink_to(video)
    writer = PromptWriter(family.tokenizer, family.markup)
    sample = ChunkDataset(
        writer,
        family.patches,
        family.tokens_per_second,
        folder=tmp_path,
        name="train_s2w4",
        fps=fps,
        limits=WindowLimits(sink, text_window, 1, 1),
    )[0]
    told = StreamSettings(
        fps=fps, sink=sink, text_window=text_window, query=chunk.query, previous_text=chunk.previous_text
    )
    with pytest.MonkeyPatch.context() as patch, open_video(video) as source:
        said = [list(writer.spoken(line)) for line in chunk.lines]
        follow(patch, said)
        session = StreamSession(family, told)
        for clip in source.clips(fps, 1.0, float(start), float(end - start)):
            session.step(clip)
    assert session.context.ids.tolist() == sample.input_ids.tolist()
    assert np.array_equal(session.context.rows(), sample.position_ids)


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return overlapping(tmp_path_factory.mktemp("chunks") / "data", make_video, num_chunks=4)


@pytest.fixture(scope="module", params=STAMPED + RECURRENT[:1] + SQUARE)
def folder(
    request: pytest.FixtureRequest, part_of_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint with no more words than it has pieces."""
    folder = tmp_path_factory.mktemp("checkpoint") / request.param
    build_random_checkpoint(folder, family=request.param, vocabulary=str(part_of_vocabulary), spread=3.0)
    network = getattr(transformers, FAMILIES[request.param].class_name).from_pretrained(folder)
    network.resize_token_embeddings(len(transformers.AutoTokenizer.from_pretrained(folder)))
    network.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Hand:
    """How a family is written, by hand: around what is said, and the frames of a second of 2 frames."""

    system: str = SYSTEM
    previous: str = "<|im_start|>previous text\n"
    user: str = "<|im_start|>user\n"
    assistant: str = "<|im_start|>assistant\n"
    end: str = "<|im_end|>"
    lead: str = ""

    def frames(self, second: int, num_tokens: int) -> str:
        pads = "<|video_pad|>" * num_tokens
        return f"<{second + 0.25:.1f} seconds><|vision_start|>{pads}<|vision_end|>"


class SmolHand(Hand):
    def frames(self, second: int, num_tokens: int) -> str:
        mark = "<fake_token_around_image>"
        return f"\nFrame from 00:{second:02d}:{mark}<global-img>{'<image>' * num_tokens}{mark}" * 2


class InternHand(Hand):
    def frames(self, second: int, num_tokens: int) -> str:
        pads = f"<img>{'<IMG_CONTEXT>' * num_tokens}</img>"
        return f"\nFrame1: {pads}\nFrame2: {pads}"


class LlavaHand(Hand):
    def frames(self, second: int, num_tokens: int) -> str:
        return "\n" + "<video>" * (2 * num_tokens + 1)


HANDS = {
    "smolvlm": SmolHand(
        "<|im_start|>System: You are a helpful assistant.<end_of_utterance>\n",
        *("Previous text: ", "User: ", "Assistant:", "<end_of_utterance>", "\n\n"),
    ),
    "internvl": InternHand(lead="\n"),
    "llava_onevision": LlavaHand(lead="\n"),
}


def by_hand(chunk: Chunk, folder: Path, opened) -> dict[str, Any]:
    """Ids, labels and pixels of a chunk, from the text alone; positions are the library's own."""
    ids: list[int] = []
    labels: list[int] = []
    seen = []
    family = opened.network.config.model_type
    hand = HANDS.get(family, Hand())

    def write(text: str, *, is_answer: bool = False) -> None:
        for token in opened.tokenizer.encode(text, add_special_tokens=False):
            ids.append(token)
            labels.append(token if is_answer else -100)

    write(hand.system)
    write(hand.previous)
    write(chunk.previous_text)
    write(f"{hand.end}\n")
    is_square = family in SQUARE
    sizes = opened.patches if is_square else replace(opened.patches, min_pixels=PIXELS, max_pixels=PIXELS)
    first, seconds = float(chunk.start_seconds), float(chunk.end_seconds - chunk.start_seconds)
    with open_video(folder / chunk.video) as video:
        shown = list(video.clips(2.0, 1.0, first, seconds))
    for number, clip in enumerate(shown):
        second = chunk.start_seconds + number
        patches = clip_to_patches(clip.frames, sizes)
        seen.append(patches)
        if number:
            write("\n")
        write(hand.user)
        write(f"Time={second}.0-{second + 1}.0s")
        for part in re.split(
            "(<[^>]*>)", hand.frames(second, math.prod(patches.grid_thw[1:]) // (1 if is_square else 4))
        ):
            write(part)
        write(f"{hand.lead}" if number == 0 else "")
        write("Commentate on this match" if number == 0 else "")
        write(f"{hand.end}\n")
        write(hand.assistant)
        said = [word.text for word in chunk.words if second < word.end_seconds <= second + 1]
        if said:
            write(f" {' '.join(said)}", is_answer=True)
        write(" ...", is_answer=True)
        write(hand.end, is_answer=True)
    held = torch.tensor([ids])
    return {"input_ids": held, "labels": torch.tensor(labels)} | library_inputs(opened, seen, held)


def loss_by_hand(chunks: Path, opened) -> float:
    stored = ChunkFile(chunks, "train_s2w4")
    total, count = 0.0, 0
    for number in range(len(stored)):
        sample = by_hand(stored[number], chunks, opened)
        labels = sample.pop("labels")
        with torch.no_grad():
            logits = opened.network(**sample).logits[0].double()
        for place in range(1, len(labels)):
            if labels[place] != -100:
                total -= float(torch.log_softmax(logits[place - 1], -1)[labels[place]])
                count += 1
    return total / count


def sized(recipe):
    pixels = None if Path(recipe.model.base).name in SQUARE else PIXELS
    return recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"min_pixels": pixels, "max_pixels": pixels})}
    )


def test_the_first_loss_is_that_of_a_forward_by_hand(folder: Path, tmp_path: Path, chunks: Path) -> None:
    """Padded, packed, with stored features and with gradient checkpointing; and a LoRA learns."""
    expected = loss_by_hand(chunks, load_model(str(folder), device="cpu"))
    forms: dict[str, tuple[dict[str, Any], list[str]]] = {
        "padded": ({"micro_batch": 4}, ["gradient_checkpointing=true"]),
        "packed": ({"micro_batch": 4, "packing": True}, []),
        "cached": ({"micro_batch": 2, "accumulate": 2, "cache_vision": True}, []),
        "cached and packed": ({"micro_batch": 4, "cache_vision": True, "packing": True}, []),
    }
    if folder.name == "qwen3_5":
        forms = {name: forms[name] for name in ("padded", "cached")}
    elif folder.name != "qwen3_vl":
        forms = {name: forms[name] for name in ("padded", "cached and packed")}
    for name, (stage, options) in forms.items():
        recipe = sized(clip_recipe(tmp_path, folder, chunks, options, steps=1, **stage))
        train(recipe, tmp_path / name)
        assert losses(tmp_path / name / "sft")[0] == pytest.approx(expected, rel=1e-5), name
    trained = load_model(str(tmp_path / "padded" / "sft" / "final"), device="cpu")
    assert trained.patches.square or trained.patches.max_pixels == PIXELS
    if folder.name == "cosmos3_omni":
        return  # the class of qwen3_vl under another name
    lora = clip_recipe(tmp_path, folder, chunks, ["model.lora.rank=4"], steps=2, micro_batch=4)
    train(sized(lora), tmp_path / "lora")
    first, second = losses(tmp_path / "lora" / "sft")
    assert first == pytest.approx(expected, rel=1e-5)
    assert second < first
    adapted = load_model(str(folder), adapter=str(tmp_path / "lora" / "sft" / "final"), device="cpu")
    assert adapted.patches.square or adapted.patches.max_pixels == PIXELS


def test_a_dry_run_counts_stamps_and_tokens_of_its_size(folder: Path, tmp_path: Path, chunks: Path) -> None:
    recipe = sized(clip_recipe(tmp_path, folder, chunks, steps=1))
    found = plan(recipe, tmp_path / "run")
    assert not found.problems
    opened = load_model(str(folder), device="cpu")
    stored = ChunkFile(chunks, "train_s2w4")
    lengths = [by_hand(stored[number], chunks, opened)["input_ids"].shape[1] for number in range(len(stored))]
    assert found.stages[0].tokens_per_sample == pytest.approx(sum(lengths) / len(lengths), rel=0.15)


def test_packing_is_refused_where_it_would_mix_samples(folder: Path, tmp_path: Path, chunks: Path) -> None:
    recipe = sized(clip_recipe(tmp_path, folder, chunks, steps=1, packing=True))
    problems = plan(recipe, tmp_path / "run").problems
    assert any("layers of linear attention" in each for each in problems) == (folder.name == "qwen3_5")
