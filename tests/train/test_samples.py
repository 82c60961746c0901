"""Samples of a data set: as streaming writes them, named when they are bad, decoded once when cached."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svlm_cli import StreamSession
from svlm_cli.data.chunks.chunk import Chunk, ChunkFile, TimedQuestion
from svlm_cli.data.samples.chunk_dataset import ChunkDataset, VideoClips
from svlm_cli.data.samples.sample import MixedDataset
from svlm_cli.data.words.transcript import TimedWord
from svlm_cli.errors import SourceError
from svlm_cli.media.file.reader import open_video
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits
from svlm_cli.settings import StreamSettings
from svlm_cli.train.trainer import train
from tests.stream.engine import follow
from tests.train.clips import chunk_at, clip_recipe, overlapping, random_words, write_chunks

LENGTH = 12
LIMITS = WindowLimits(8, 8, 1, 1)


@pytest.mark.parametrize("into", [0.002, 0.03, 0.05, 0.3])
@pytest.mark.parametrize("fps", [2.0, 8.0])
def test_a_sample_that_ends_inside_a_second_keeps_its_words_where_the_video_shows_it(
    model, tmp_path: Path, make_video: Callable[..., Path], into: float, fps: float
) -> None:
    """LiveCC's samples end with their last word; of a video that ends there the others are left."""
    chunk = replace(chunk_at("v.mp4", 0, 3, random.Random(4)), words=(TimedWord("last", 2.9, 3 + into),))
    write_chunks(tmp_path, [chunk])
    lines = tmp_path / "train_s2w4_with_seeks.jsonl"
    lines.write_text(lines.read_text().replace('"video_end": 3', f'"video_end": {3 + into}'))
    (tmp_path / "train_s2w4_seeks.jsonl").unlink()
    words = PromptWriter(model.tokenizer, model.markup).encode_plain(" last")
    for seconds, num_turns in ((5.0, 4), (3.0, 3)):
        make_video(tmp_path / "v.mp4", seconds=seconds)
        dataset = dataset_of(model, tmp_path, fps=fps)
        if seconds < 3.0 + into and into > 0.05:
            with pytest.raises(SourceError, match="ends 1 s before"):
                dataset.sample(dataset.chunks[0])
            continue
        sample = dataset.sample(dataset.chunks[0])
        assert len(sample.frames) == num_turns
        assert set(words) <= set(sample.labels.tolist()) or num_turns == 3


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", seconds=float(LENGTH))


def dataset_of(
    model,
    folder: Path,
    *,
    fps: float = 2.0,
    limits: WindowLimits = LIMITS,
    num_tries: int = 1,
) -> ChunkDataset:
    return ChunkDataset(
        PromptWriter(model.tokenizer, model.markup),
        model.patches,
        model.tokens_per_second,
        folder=folder,
        name="train_s2w4",
        fps=fps,
        limits=limits,
        num_tries=num_tries,
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    start=st.integers(0, LENGTH - 2),
    fps=st.sampled_from([2.0, 4.0, 8.0]),
    sink=st.sampled_from([0, 1, 5, 512]),
    text_window=st.sampled_from([0, 1, 7, 512]),
    rate=st.sampled_from([0.0, 0.7, 3.0]),
)
def test_ids_of_a_chunk_are_what_a_stream_holds(
    model,
    video: Path,
    tmp_path: Path,
    seed: int,
    start: int,
    fps: float,
    sink: int,
    text_window: int,
    rate: float,
) -> None:
    """The engine is told the same words second by second; nothing has left its cache yet."""
    dice = random.Random(seed)
    end = dice.randint(start + 1, min(LENGTH, start + 5))
    chunk = replace(chunk_at(video.name, start, end - start, dice), query=dice.choice(["", "What now?"]))
    chunk = replace(chunk, words=random_words(dice, start, end, rate))
    write_chunks(tmp_path, [chunk])
    (tmp_path / video.name).unlink(missing_ok=True)
    (tmp_path / video.name).symlink_to(video)
    writer = PromptWriter(model.tokenizer, model.markup)
    sample = dataset_of(model, tmp_path, fps=fps, limits=WindowLimits(sink, text_window, 1, 1))[0]
    told = StreamSettings(
        fps=fps, sink=sink, text_window=text_window, query=chunk.query, previous_text=chunk.previous_text
    )
    with pytest.MonkeyPatch.context() as patch, open_video(video) as source:
        said = [list(writer.spoken(line)) for line in chunk.lines]
        follow(patch, said)
        session = StreamSession(model, told)
        for clip in source.clips(fps, 1.0, float(start), float(end - start)):
            session.step(clip)
    assert session.context.ids.tolist() == sample.input_ids.tolist()
    np.testing.assert_allclose(session.context.rows(), sample.position_ids)


def test_a_question_stands_in_its_turn_and_its_answer_comes_first(model, video: Path, tmp_path: Path) -> None:
    """The very text of both turns, as the method's description writes it."""
    asked = TimedQuestion(1.2, 2.0, "who is that?", "number nine")
    words = (TimedWord("and", 1.0, 1.5), TimedWord("on", 2.1, 2.6))
    chunk = Chunk(str(video), 0, 3, "", words, query="", questions=(asked,))
    write_chunks(tmp_path, [chunk])
    sample = dataset_of(model, tmp_path)[0]
    text = model.tokenizer.decode(sample.input_ids).replace("<|video_pad|>", "")
    answer = " number nine\n and ...<|im_end|>"
    assert (
        "Time=1.0-2.0s who is that?<|vision_start|><|vision_end|><|im_end|>\n<|im_start|>assistant\n"
        f"{answer}\n<|im_start|>user\nTime=2.0-3.0s<|vision_start|>"
    ) in text
    trained = model.tokenizer.decode(sample.labels[sample.labels != -100])
    assert trained == f" ...<|im_end|>{answer} on ...<|im_end|>"


def broken(folder: Path, make_video: Callable[..., Path]) -> Path:
    """Five chunks, of which number 1 has no video and number 3 asks for more than there is."""
    overlapping(folder, make_video, num_chunks=5)
    stored = ChunkFile(folder, "train_s2w4")
    chunks = [stored[number] for number in range(5)]
    chunks[1] = replace(chunks[1], video="absent.mp4")
    chunks[3] = replace(chunks[3], start_seconds=100, end_seconds=104, words=())
    return write_chunks(folder, chunks)


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_samples_are_named_counted_and_passed_over(
    workers: int, tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = broken(tmp_path / "data", make_video)
    options = {"epochs": 1, "micro_batch": 1, "steps": None}
    recipe = clip_recipe(tmp_path, checkpoint, folder, [f"workers={workers}"], **options)
    result = train(recipe, tmp_path / "run")[0]
    assert (result.steps, result.num_bad_samples) == (5, 2)
    lines = (tmp_path / "run" / "sft" / "bad_samples.jsonl").read_text().splitlines()
    told = {bad["number"]: bad["reason"] for bad in map(json.loads, lines)}
    assert told.keys() == {1, 3}
    assert "absent.mp4" in told[1]
    assert "clip.mp4" in told[3]


def test_more_bad_samples_than_allowed_end_the_run(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = broken(tmp_path / "data", make_video)
    options = {"epochs": 1, "micro_batch": 1, "steps": None}
    for cap in (0, 1):
        recipe = clip_recipe(tmp_path, checkpoint, folder, [f"max_bad_samples={cap}"], **options)
        with pytest.raises(SourceError, match=rf"max_bad_samples = {cap}.*data/train_s2w4"):
            train(recipe, tmp_path / f"run{cap}")


def test_a_run_that_was_resumed_counts_a_bad_sample_once(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = broken(tmp_path / "data", make_video)
    options = {"epochs": 2, "micro_batch": 1, "steps": None, "save_steps": 4}
    recipe = clip_recipe(tmp_path, checkpoint, folder, ["max_bad_samples=2"], **options)
    train(recipe, tmp_path / "run")
    run = tmp_path / "run" / "sft"
    (run / "final").rename(tmp_path / "whole")
    assert train(recipe, tmp_path / "run", start=run / "checkpoint-4")[0].num_bad_samples == 2


def test_each_second_is_decoded_once_for_the_cache(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=4)
    decoded: list[int] = []
    cut = VideoClips.cut

    def watched(self: VideoClips, first: int, last: int):
        decoded.extend(range(first, last))
        return cut(self, first, last)

    monkeypatch.setattr(VideoClips, "cut", watched)
    options = {"epochs": 2, "micro_batch": 1, "steps": None}
    train(clip_recipe(tmp_path, checkpoint, folder, cache_vision=True, **options), tmp_path / "cached")
    assert sorted(decoded) == list(range(11))  # chunks of 4 and 5 s every 2 s reach from 0 to 11
    decoded.clear()
    train(clip_recipe(tmp_path, checkpoint, folder, **options), tmp_path / "plain")
    assert len(decoded) == 2 * (4 + 5 + 4 + 5)


class Numbers:
    """Samples that are their own numbers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, index: int):
        return self.name, index


@given(
    weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
    group=st.integers(1, 4),
    num_groups=st.integers(1, 60),
)
def test_a_mixture_holds_its_shares_everywhere_and_skips_nothing(
    weights: list[float], group: int, num_groups: int
) -> None:
    parts = [(Numbers(str(k)), weight) for k, weight in enumerate(weights)]
    mixed: MixedDataset = MixedDataset(parts, num_samples=group * num_groups, group=group)
    drawn: list[tuple[str, int]] = [mixed[index] for index in range(len(mixed))]  # type: ignore[misc]
    for name in {name for name, _ in drawn}:
        assert [index for other, index in drawn if other == name] == list(
            range(sum(other == name for other, _ in drawn))
        )
    for k, weight in enumerate(weights):
        for end in range(group, len(drawn) + 1, group):
            share = sum(name == str(k) for name, _ in drawn[:end]) / group
            assert abs(share - weight / sum(weights) * (end // group)) < len(weights)
    for start in range(0, len(drawn), group):
        assert len({name for name, _ in drawn[start : start + group]}) == 1


def test_samples_say_so_when_nothing_can_be_read(model, tmp_path: Path) -> None:
    write_chunks(tmp_path, [chunk_at("absent.mp4", 0, 4, random.Random(0))])
    sample = dataset_of(model, tmp_path, num_tries=3)[0]
    assert len(sample.bad) == 1
    assert (sample.labels == -100).all()
