"""Samples in LiveCC's format: the ids of a stream in that format, and a recipe that trains on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svlm_cli import Policy, StreamSession, StreamSettings, UsageError, load_model
from svlm_cli.data.chunks.chunk import ChunkFile, write_layout
from svlm_cli.data.samples.chunk_dataset import ChunkDataset
from svlm_cli.data.samples.first_turn import joined_turns
from svlm_cli.data.samples.sample import Features, Turn
from svlm_cli.media.file.reader import open_video
from svlm_cli.model.family.livecc import MAX_PIXELS, chosen_format, format_of
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits
from svlm_cli.settings import PromptFormat
from svlm_cli.stream.step.livecc import first_joined, fitted
from svlm_cli.train.learner import with_pixels
from svlm_cli.train.plan import plan
from svlm_cli.train.trainer import train
from tests.stream.engine import follow
from tests.train.clips import PIXELS, chunk_at, clip_recipe, losses, overlapping, random_words, write_chunks

LENGTH = 9
LIVECC = PromptFormat.LIVECC


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", seconds=float(LENGTH))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), fps=st.sampled_from([2.0, 4.0]))
def test_ids_of_a_chunk_are_what_a_stream_holds(
    qwen2_vl_model, video: Path, tmp_path: Path, seed: int, fps: float
) -> None:
    dice = random.Random(seed)
    start = dice.randint(0, LENGTH - 2)
    end = dice.randint(start + 1, LENGTH)
    area = 28 * 28
    patches = replace(qwen2_vl_model.patches, min_pixels=4 * area, max_pixels=8 * area)
    model = replace(qwen2_vl_model, patches=patches)
    chunk = replace(chunk_at(video.name, start, end - start, dice), query=dice.choice(["", "What now?"]))
    chunk = replace(chunk, words=random_words(dice, start, end, 1.5))
    write_chunks(tmp_path, [chunk])
    (tmp_path / video.name).unlink(missing_ok=True)
    (tmp_path / video.name).symlink_to(video)
    writer = PromptWriter(model.tokenizer, model.markup)
    sample = ChunkDataset(
        writer,
        patches,
        model.tokens_per_second,
        folder=tmp_path,
        name="train_s2w4",
        fps=fps,
        limits=WindowLimits(3, 3, 1, 1),
        prompt_format=LIVECC,
    )[0]
    told = StreamSettings(
        fps=fps,
        query=chunk.query,
        previous_text=chunk.previous_text,
        policy=Policy.FULL,
        prompt_format=LIVECC,
        min_pixels=4 * area,
        max_pixels=8 * area,
    )
    lines, first = chunk.lines, min(3, len(chunk.lines))
    spoken = [" ".join(line for line in lines[:first] if line), *lines[first:]]
    with pytest.MonkeyPatch.context() as patch, open_video(video) as source:
        follow(patch, [list(writer.spoken(line)) for line in spoken])
        session = StreamSession(model, told)
        for clip in first_joined(source.clips(fps, 1.0, float(start), float(end - start)), told):
            session.step(clip)
    assert session.context.ids.tolist() == sample.input_ids.tolist()
    assert np.array_equal(session.context.rows(), sample.position_ids)
    assert [piece.grid_thw[0] for piece in sample.frames] == [
        round(fps / 2) * num for num in (first, *[1] * (len(lines) - first))
    ]


def test_stored_features_are_joined_as_frames_are() -> None:
    def features(number: int, width: int = 4) -> Features:
        values = torch.full((width // 2, 3), float(number))
        return Features(values, (1, 2, width), torch.stack([values, -values]))

    turns = [Turn(float(k), k + 1.0, f"w{k}" if k else "", features(k)) for k in range(4)]
    one, last = joined_turns(turns, 3)
    assert (one.start_seconds, one.end_seconds, one.line) == (0, 3, "w1 w2")
    assert isinstance(one.frames, Features)
    assert one.frames.grid_thw == (3, 2, 4)
    assert one.frames.values[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert one.frames.deep is not None
    assert one.frames.deep.shape == (2, 6, 3)
    assert last is turns[3]
    turns[1] = replace(turns[1], frames=features(1, width=8))
    assert joined_turns(turns, 3) == turns, "pictures of another size begin a turn of their own"
    assert joined_turns(turns[:1], 3) == turns[:1]
    assert joined_turns(turns, 1) == turns


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of LiveCC's name, of its architecture."""
    from svlm_cli.model.random_checkpoint import build_random_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint") / "LiveCC-7B-Base"
    return build_random_checkpoint(folder, family="qwen2_vl", vocabulary=str(checkpoint), spread=3.0)


def test_a_recipe_trains_on_it_and_what_it_leaves_says_so(
    folder: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    chunks = overlapping(tmp_path / "data", make_video, num_chunks=3)
    found = {}
    for asked in ("auto", "livecc", "svlm"):
        options = [f"model.prompt_format={asked}"]
        recipe = clip_recipe(tmp_path, folder, chunks, options, steps=1, micro_batch=3)
        assert not plan(recipe, tmp_path / asked).problems
        train(recipe, tmp_path / asked)
        found[asked] = losses(tmp_path / asked / "sft")[0]
        final = load_model(str(tmp_path / asked / "sft" / "final"), device="cpu")
        kept = fitted(StreamSettings(), final)
        assert kept.prompt_format is (PromptFormat.SVLM if asked == "svlm" else LIVECC)
        assert kept.max_pixels is None
        assert final.patches.max_pixels == PIXELS, "streamed as it was trained"
    assert found["auto"] == found["livecc"] != found["svlm"]
    lora = clip_recipe(
        tmp_path,
        folder,
        chunks,
        ["model.lora.rank=2", "model.prompt_format=svlm"],
        steps=1,
        micro_batch=3,
    )
    train(lora, tmp_path / "lora")
    adapted = load_model(str(folder), adapter=str(tmp_path / "lora" / "sft" / "final"), device="cpu")
    assert fitted(StreamSettings(), adapted).prompt_format is PromptFormat.SVLM, "not by the base's name"


def test_frames_are_of_livecc_s_size_unless_the_recipe_says_otherwise(qwen2_vl_model) -> None:
    from svlm_cli.sections import Checkpoint

    own = qwen2_vl_model.patches
    assert with_pixels(own, Checkpoint(base="x"), LIVECC).max_pixels == MAX_PIXELS
    assert with_pixels(own, Checkpoint(base="x", max_pixels=90_000), LIVECC).max_pixels == 90_000
    assert with_pixels(own, Checkpoint(base="x"), PromptFormat.SVLM) == own
    assert with_pixels(own, Checkpoint(base="x"), LIVECC, LIVECC) == own, "its own limits are LiveCC's"
    least = MAX_PIXELS * 2
    assert with_pixels(own, Checkpoint(base="x", min_pixels=least), LIVECC).max_pixels == least


def test_formats_that_are_none_are_refused(model) -> None:
    from tests.families import made_model

    with pytest.raises(ValueError, match="neither svlm nor livecc"):
        format_of({"prompt_format": "mine"})
    assert chosen_format(PromptFormat.AUTO, "x/LiveCC-7B-Base", PromptFormat.SVLM) is PromptFormat.SVLM
    square = made_model("smolvlm", model.tokenizer)
    with pytest.raises(UsageError, match="written for the Qwen-VL families"):
        StreamSession(square, StreamSettings(prompt_format=LIVECC))


def test_offsets_stand_in_the_last_line_as_livecc_reads_them(tmp_path: Path) -> None:
    dice = random.Random(3)
    chunks = [chunk_at("a.mp4", 4 * k, 4, dice) for k in range(3)]
    write_layout(tmp_path, "train_s4w4", chunks, index_last=True)
    path = tmp_path / "train_s4w4_with_seeks.jsonl"
    *lines, last = path.read_bytes().splitlines()
    offsets = json.loads(last)
    assert offsets == json.loads((tmp_path / "train_s4w4_seeks.jsonl").read_text())
    for offset, line in zip(offsets, lines, strict=True):
        assert path.read_bytes()[offset:].startswith(line)
    for seeks in (True, False):
        stored = ChunkFile(tmp_path, "train_s4w4")
        assert [stored[k].start_seconds for k in range(len(stored))] == [0, 4, 8]
        if seeks:
            (tmp_path / "train_s4w4_seeks.jsonl").unlink()
