"""How pictures are shown is one choice from chunking to streaming; what was made with another is known."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from svlm_cli.bench.common.settings import memory_identity
from svlm_cli.cli import app
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.data.samples.chunk_dataset import VideoClips
from svlm_cli.data.words.transcript import TimedWord, Transcript, transcript_path, write_transcript
from svlm_cli.errors import UsageError
from svlm_cli.model.patches import PatchSettings, clip_to_patches
from svlm_cli.model.seal import Seal, pictures_trained_on, write_seal
from svlm_cli.recipe import load_recipe
from svlm_cli.settings import Deinterlace, PictureStyle, Reader, StreamSettings, Viewing
from svlm_cli.stream.sources import open_source
from svlm_cli.train.checkpoints import check_same_origin, origin
from tests.media.file.test_fields import interlaced
from tests.media.numbered import needs_ffmpeg, write_video

RAW = Viewing(PictureStyle.RAW)
VIDEO = Video("", "", "", "", "", 0.0, 128, 48, 5.0, False, "", "")
STAGES = "stages:\n- {name: a, steps: 2, micro_batch: 1, chunks: [{path: data}]}\n"


@needs_ffmpeg
@pytest.mark.parametrize("viewing", [Viewing(), RAW])
def test_training_sees_what_streaming_sees(tmp_path: Path, viewing: Viewing) -> None:
    path, _ = interlaced(tmp_path, 3, "mpeg2")
    patches = PatchSettings()
    with open_source(str(path), viewing=viewing) as source:
        streamed = [clip_to_patches(clip.frames, patches) for clip in source.clips(2, 1.0)]
    (trained,) = VideoClips(path, 2.0, patches, viewing).cut(1, 2)
    assert np.array_equal(trained.pixel_values, streamed[1].pixel_values)


def test_features_of_other_pictures_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"x")
    named = {VideoClips(path, 2.0, PatchSettings(), each).keys(0, 1)[0] for each in (Viewing(), RAW)}
    off = Viewing(deinterlace=Deinterlace.OFF)
    named.add(VideoClips(path, 2.0, PatchSettings(), off).keys(0, 1)[0])
    assert len(named) == 3
    decord = Viewing(reader=Reader.DECORD)
    assert VideoClips(path, 2.0, PatchSettings(), decord).keys(0, 1)[0] in named


def test_stored_results_keep_their_keys() -> None:
    usual, raw = StreamSettings(), StreamSettings(pictures=PictureStyle.RAW)
    assert "pictures" not in memory_identity(usual)
    assert memory_identity(raw)["pictures"] == "raw"
    assert repr(usual) == repr(raw)
    assert "pictures" not in repr(usual)


def recipe(folder: Path, *settings: str):
    (folder / "r.yaml").write_text(STAGES)
    return load_recipe(folder / "r.yaml", settings)


def test_a_recipe_says_how_pictures_are_shown(tmp_path: Path) -> None:
    assert recipe(tmp_path).viewing == Viewing()
    chosen = recipe(tmp_path, "pictures=raw", "reader=decord").viewing
    assert chosen == Viewing(PictureStyle.RAW, reader=Reader.DECORD)
    assert recipe(tmp_path, "deinterlace=off").viewing == Viewing(deinterlace=Deinterlace.OFF)
    with pytest.raises(UsageError, match="deinterlace on does not go with it"):
        recipe(tmp_path, "pictures=raw", "deinterlace=on")
    with pytest.raises(UsageError, match="reader"):
        recipe(tmp_path, "reader=dekord")


def test_a_run_does_not_go_on_with_other_pictures(tmp_path: Path) -> None:
    own = recipe(tmp_path)
    made = origin(own, own.stages[0], 1, None)
    for change, named in (("pictures=raw", r"pictures \(display -> raw\)"), ("reader=pyav", None)):
        other = recipe(tmp_path, change)
        now = origin(other, other.stages[0], 1, None)
        if named is None:
            check_same_origin(tmp_path, Seal(made, None), now)
        else:
            with pytest.raises(UsageError, match=named):
                check_same_origin(tmp_path, Seal(made, None), now)
    # What was trained before recipes said so saw pictures as they are stored.
    before = {
        key: value
        for key, value in made["recipe"].items()
        if key not in ("pictures", "deinterlace", "reader")
    }
    old = Seal(made | {"recipe": before}, None)
    with pytest.raises(UsageError, match=r"pictures \(raw -> display\)"):
        check_same_origin(tmp_path, old, made)
    raw = recipe(tmp_path, "pictures=raw")
    check_same_origin(tmp_path, old, origin(raw, raw.stages[0], 1, None))


def test_a_checkpoint_tells_what_it_was_trained_on(tmp_path: Path) -> None:
    own = recipe(tmp_path, "pictures=raw")
    folder = tmp_path / "model"
    assert pictures_trained_on(folder) is None
    folder.mkdir()
    write_seal(folder, origin(own, own.stages[0], 1, None))
    assert pictures_trained_on(folder) == "raw"
    (folder / "svlm_checkpoint.json").write_text("{")
    assert pictures_trained_on(folder) is None


def test_decord_reads_files_only() -> None:
    with pytest.raises(UsageError, match="decord reads files only"):
        open_source("arena:soccer?seed=1", viewing=Viewing(reader=Reader.DECORD))


@needs_ffmpeg
def test_chunk_leaves_out_what_the_reader_cannot_show(tmp_path: Path) -> None:
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    folder = tmp_path / "matches"
    (folder / "videos").mkdir(parents=True)
    # Pixels of another shape, which decord shows as they are stored, and a file that is like any other.
    for name, more in (("wide", {"x264-params": "sar=4/3"}), ("plain", {})):
        path = folder / f"videos/{name}.mp4"
        write_video(path, range(60), Fraction(1, 5), rate=5, options={"bf": "0", **more})
        video = {"id": name, "path": f"videos/{name}.mp4", "duration_seconds": 12.0, "title": name}
        Manifest(folder).add(replace(VIDEO, **video))
        words = tuple(TimedWord("goal", second + 0.1, second + 0.4) for second in range(12))
        write_transcript(transcript_path(folder, name), Transcript(words))

    def videos(*options: str) -> tuple[int, dict[str, int]]:
        command = ["chunk", str(folder), "--out", str(tmp_path / "data"), "--window", "4", "--overlap", "2"]
        common = ["--min-words-per-second", "0", "--split", "0", "--json"]
        done = CliRunner().invoke(app, [*command, *common, *options])
        assert done.exit_code == 0, done.output
        train = json.loads(done.stdout)["splits"][0]
        return train["num_videos"], train["dropped_videos"]

    assert videos() == (2, {})
    assert videos("--reader", "pyav") == (2, {})
    assert videos("--reader", "decord") == (1, {"cannot be read by decord": 1})
    assert videos("--reader", "decord", "--pictures", "raw") == (2, {})
