from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import truth
from svlm_cli.data.chunks.chunk import ChunkFile, ChunkRule
from svlm_cli.data.chunks.chunking import chunk_folder
from svlm_cli.data.fetch.folder import fetch_all
from svlm_cli.data.manifest import Manifest
from svlm_cli.data.samples.chunk_dataset import ChunkDataset
from svlm_cli.data.samples.sample import IGNORED
from svlm_cli.data.words.transcript import DenseClip, TimedWord, Transcript, transcript_path, write_transcript
from svlm_cli.errors import SourceError
from svlm_cli.model.family.markup import find_markup
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits
from svlm_cli.train.learner import new_patch_settings, new_tokenizer
from svlm_cli.train.vision_cache import VisionCache
from tests.train.small import MODEL, network

SOURCES = [f"arena:soccer,seed={1_000_000 + k},minutes=0.5,size=168x112" for k in range(3)]
RULE = ChunkRule(window=10, overlap=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("matches")
    assert all(result.video for result in fetch_all(SOURCES, made))
    return made


def files(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset.iterdir() if path.is_file()}


def test_chunks_of_a_folder_say_what_is_true(folder: Path, tmp_path: Path) -> None:
    report = chunk_folder(folder, tmp_path, RULE, min_words_per_second=0, valid_share=0.34)
    train, valid = report.splits
    assert (train.num_videos, valid.num_videos) == (2, 1)
    assert train.num_chunks == 2 * 4
    stored = ChunkFile(tmp_path, "train_s6w10")
    videos = {video.path: video for video in Manifest(folder).videos()}
    silent = 0
    for number in range(len(stored)):
        chunk = stored[number]
        video = videos[(tmp_path / chunk.video).resolve().relative_to(folder.resolve()).as_posix()]
        records = list(truth(parse_address(video.url)))[chunk.start_seconds : chunk.end_seconds]
        assert chunk.lines == [record.line for record in records]
        assert chunk.previous_text.startswith(video.title)
        silent += chunk.lines.count("")
    assert train.silent_share == pytest.approx(silent / (len(stored) * 10), abs=1e-4)
    assert json.loads((tmp_path / "report.json").read_text())["splits"][0]["num_chunks"] == 8


def test_a_video_is_in_one_split_only(folder: Path, tmp_path: Path) -> None:
    chunk_folder(folder, tmp_path, RULE, min_words_per_second=0, valid_share=0.5)
    videos = []
    for name in ("train_s6w10", "valid_s6w10"):
        stored = ChunkFile(tmp_path, name)
        videos.append({stored[number].video for number in range(len(stored))})
    assert not videos[0] & videos[1]


def test_what_is_left_out_is_counted(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="fewer than 50 words per second: 12"):
        chunk_folder(folder, tmp_path, RULE, min_words_per_second=50)
    with pytest.raises(SourceError, match="shorter than 100 s: 3"):
        chunk_folder(folder, tmp_path, ChunkRule(window=100))


def test_a_video_whose_file_is_missing_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "matches"
    shutil.copytree(folder, copied)
    gone, *others = Manifest(copied).videos()
    (copied / gone.path).unlink()
    report = chunk_folder(copied, tmp_path / "set", RULE, min_words_per_second=0, valid_share=0)
    assert report.dropped_videos == {"video file missing": 1}
    assert report.splits[0].dropped_video_names == {"video file missing": (gone.id,)}
    assert report.splits[0].num_videos == len(others)
    report = chunk_folder(
        copied, tmp_path / "set", RULE, min_words_per_second=0, valid_share=0, check_videos=False
    )
    assert (report.dropped_videos, report.splits[0].num_videos) == ({}, 3)
    for video in others:
        (copied / video.path).unlink()
    with pytest.raises(SourceError, match=r"video file missing: 3.*--no-video-check"):
        chunk_folder(copied, tmp_path / "set", RULE)


@pytest.mark.parametrize(
    "content", ["{", '{"words": [{"text": "a", "start_seconds": NaN, "end_seconds": 1}]}']
)
def test_an_unreadable_transcript_does_not_stop_the_others(
    folder: Path, tmp_path: Path, content: str
) -> None:
    copied = tmp_path / "matches"
    shutil.copytree(folder, copied)
    video = Manifest(copied).videos()[1]
    transcript_path(copied, video.id).write_text(content)
    report = chunk_folder(copied, tmp_path / "set", RULE, min_words_per_second=0, valid_share=0)
    assert report.dropped_videos == {"unreadable transcript": 1}
    (named,) = report.splits[0].dropped_video_names["unreadable transcript"]
    assert named.startswith(f"{video.id} (")
    assert report.splits[0].num_videos == 2


def test_no_chunk_ends_behind_its_video(folder: Path, tmp_path: Path) -> None:
    """Also where a transcript of another cut says more."""
    copied = tmp_path / "matches"
    shutil.copytree(folder, copied)
    for video in Manifest(copied).videos():
        words = tuple(TimedWord(f"w{k}", k / 3, (k + 1) / 3) for k in range(300))
        clips = (DenseClip(10, 30, 60, 0.0, 0.9), DenseClip(30, 50, 60, 0.0, 0.9))
        write_transcript(transcript_path(copied, video.id), Transcript(words, clips=clips))
    for annealing, name in ((False, "train_s6w10"), (True, "train_annealing")):
        report = chunk_folder(copied, tmp_path / "set", RULE, valid_share=0, annealing=annealing)
        assert {chunk.end_seconds for chunk in ChunkFile(tmp_path / "set", name)} <= set(range(31))
    assert report.dropped_chunks == {"past the end of the video": 3}


def test_a_data_set_behind_a_link_finds_its_videos(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "sets").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "sets")
    chunk_folder(folder, tmp_path / "link" / "soccer", RULE, min_words_per_second=0)
    for chunk in ChunkFile(tmp_path / "link" / "soccer", "train_s6w10"):
        assert (tmp_path / "link" / "soccer" / chunk.video).is_file()


def test_annealing_takes_clips_that_are_live(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "matches"
    shutil.copytree(folder, copied)
    for video in Manifest(copied).videos():
        words = tuple(TimedWord(f"w{k}", k / 3, (k + 1) / 3) for k in range(90))
        live = DenseClip(10, 27, 51, 0.0, 0.9)
        others = (DenseClip(27, 30, 9, 0.0, 0.8), DenseClip(0, 10, 30, 0.0, None))
        write_transcript(transcript_path(copied, video.id), Transcript(words, clips=(live, *others)))
    report = chunk_folder(copied, tmp_path / "set", RULE, valid_share=0, annealing=True)
    assert report.dropped_chunks == {
        "at most 80% live commentary": 3,
        "not judged: svlm align --clean llm does": 3,
    }
    stored = ChunkFile(tmp_path / "set", "train_annealing")
    assert len(stored) == 3
    assert (stored[0].start_seconds, stored[0].end_seconds) == (10, 27)
    assert [word.text for word in stored[0].words] == [f"w{k}" for k in range(30, 81)]
    assert stored[0].previous_text.endswith("w28 w29")


def test_a_run_without_chunks_leaves_the_data_set(folder: Path, tmp_path: Path) -> None:
    chunk_folder(folder, tmp_path, RULE, min_words_per_second=0, valid_share=0)
    before = files(tmp_path)
    with pytest.raises(SourceError, match="no chunk"):
        chunk_folder(folder, tmp_path, RULE, min_words_per_second=50)
    assert files(tmp_path) == before


def test_features_stand_for_the_frames_of_a_chunk(folder: Path, tmp_path: Path) -> None:
    chunk_folder(folder, tmp_path, RULE, min_words_per_second=0, valid_share=0)
    model = network(new_tokenizer())
    cache = VisionCache(tmp_path, model, new_patch_settings(MODEL, 168 * 112))
    samples = [chunk_dataset(tmp_path), chunk_dataset(tmp_path, features=cache)]
    for number in range(3):
        seen, known = (each[number] for each in samples)
        np.testing.assert_array_equal(seen.input_ids, known.input_ids)
        for patches, features in zip(seen.frames, known.frames, strict=True):
            grid = torch.tensor([patches.grid_thw])
            expected = model.get_video_features(patches.pixel_values, grid).pooler_output[0]
            torch.testing.assert_close(features.values, expected.detach(), atol=1e-5, rtol=1e-5)


def chunk_dataset(folder: Path, **more) -> ChunkDataset:
    tokenizer = new_tokenizer()
    return ChunkDataset(
        PromptWriter(tokenizer, find_markup(tokenizer)),
        new_patch_settings(MODEL, 168 * 112),
        2.0,
        folder=folder,
        name="train_s6w10",
        fps=2.0,
        limits=WindowLimits(512, 512, 16, 16),
        seed=0,
        num_samples=24,
        **more,
    )


def test_a_sample_holds_the_words_of_its_chunk(folder: Path, tmp_path: Path) -> None:
    chunk_folder(folder, tmp_path, RULE, min_words_per_second=0, valid_share=0)
    tokenizer = new_tokenizer()
    dataset = chunk_dataset(tmp_path)
    samples = [dataset[number] for number in range(24)]
    stored = ChunkFile(tmp_path, "train_s6w10")
    told = sorted(" ".join(filter(None, stored[k].lines)) for k in range(len(stored)))
    for epoch in (samples[:12], samples[12:]):
        trained = [
            tokenizer.decode(sample.labels[sample.labels != IGNORED], skip_special_tokens=True)
            for sample in epoch
        ]
        assert sorted(" ".join(text.replace("...", " ").split()) for text in trained) == told
    assert any(
        not np.array_equal(a.input_ids, b.input_ids) for a, b in zip(samples[:12], samples[12:], strict=True)
    )
    assert len(samples[0].frames) == 10
