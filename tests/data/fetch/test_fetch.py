from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import truth
from svlm_cli.data.fetch import folder as fetching
from svlm_cli.data.fetch.folder import Fetched, expand, fetch_all
from svlm_cli.data.fetch.one import FetchOptions
from svlm_cli.data.manifest import Manifest
from svlm_cli.data.words.transcript import read_transcript, transcript_path
from svlm_cli.files import sha256_of

SOURCE = "arena:soccer,seed=1000003,minutes=0.25,size=168x112"


def fetch(source: str, folder: Path, **options: object) -> Fetched:
    (result,) = fetch_all([source], folder, FetchOptions(**options))  # type: ignore[arg-type]
    return result


def test_a_match_becomes_video_truth_and_transcript(tmp_path: Path) -> None:
    fetched = fetch(SOURCE, tmp_path)
    video = fetched.video
    assert fetched.is_new
    assert [video] == Manifest(tmp_path).videos()
    assert (video.width, video.height, video.fps, video.has_audio) == (168, 112, 24, False)
    assert video.duration_seconds == pytest.approx(15.0, abs=0.05)
    assert video.sha256 == sha256_of(tmp_path / video.path)
    records = list(truth(parse_address(SOURCE)))
    made = read_transcript(transcript_path(tmp_path, video.id))
    assert made is not None
    words = made.words
    said = " ".join(record.line for record in records if record.line)
    assert " ".join(word.text for word in words) == said
    truth_file = json.loads((tmp_path / "videos" / f"{video.id}.truth.json").read_text())
    assert video.title == truth_file["opening_text"]


def test_again_is_nothing_new_unless_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / fetch(SOURCE, tmp_path).video.path
    before = path.stat().st_mtime_ns
    assert not fetch(SOURCE, tmp_path).is_new
    assert path.stat().st_mtime_ns == before
    path.unlink()
    assert fetch(SOURCE, tmp_path).is_new
    assert len(Manifest(tmp_path).videos()) == 1


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
def test_the_voice_sounds_where_its_words_are(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    video = fetch(SOURCE, tmp_path, with_voice=True).video
    assert video.has_audio
    made = read_transcript(transcript_path(tmp_path, video.id))
    assert made is not None
    words = made.words
    assert words
    assert all(a.end_seconds <= b.start_seconds for a, b in itertools.pairwise(words))
    with av.open(str(tmp_path / video.path)) as container:
        rate = container.streams.audio[0].rate
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loud = np.zeros(len(sound), bool)
    for word in words:
        loud[int(word.start_seconds * rate) : int(word.end_seconds * rate)] = True
    assert np.abs(sound[loud]).mean() > 10 * np.abs(sound[~loud]).mean()


@pytest.mark.parametrize(
    ("source", "told"),
    [("arena:soccer,minutes=inf", "too long"), ("nowhere.mp4", "neither"), ("arena:chess", "sport")],
)
def test_what_cannot_be_fetched_is_told(tmp_path: Path, source: str, told: str) -> None:
    fetched = fetch(source, tmp_path)
    assert fetched.video is None
    assert told in fetched.problem
    assert not list(tmp_path.rglob("*.mp4"))


def test_local_files_are_copied_under_safe_names(tmp_path: Path) -> None:
    made = fetch(SOURCE, tmp_path / "first").video
    original = tmp_path / "a ../ final; cut".replace("/", "_")
    shutil.copy(tmp_path / "first" / made.path, original.with_suffix(".mp4"))
    fetched = fetch(str(original.with_suffix(".mp4")), tmp_path / "second", sport="soccer")
    assert fetched.video.sha256 == made.sha256
    assert (tmp_path / "second" / fetched.video.path).parent == tmp_path / "second" / "videos"
    assert " " not in fetched.video.path


@pytest.mark.parametrize("source", ["film.mp4", "arena:soccer,seed=1000003,minutes=0.02,size=168x112"])
def test_what_a_line_counts_on_is_on_the_disk_before_it(
    tmp_path: Path, make_video, forced: list[Path], source: str
) -> None:
    make_video(tmp_path / "film.mp4", seconds=1.0)
    folder = tmp_path / "new" / "m"
    video = fetch(source if source.startswith("arena:") else str(tmp_path / source), folder).video
    assert video is not None
    line = forced.index(folder / "videos.jsonl")
    assert any(Path(path).parent == folder / "videos" for path in forced[:line])
    assert {folder / "videos", folder, tmp_path / "new", tmp_path} <= set(forced[:line])
    assert folder in forced[line:], "the name of videos.jsonl itself"


def test_a_folder_is_its_videos(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mkv", "notes.txt"):
        (tmp_path / name).touch()
    assert expand([str(tmp_path)]) == [str(tmp_path / "a.mkv"), str(tmp_path / "b.mp4")]
    (tmp_path / "empty").mkdir()
    assert expand([str(tmp_path / "empty")]) == [str(tmp_path / "empty")]
    assert "no video" in fetch(str(tmp_path / "empty"), tmp_path / "out").problem


def test_a_torn_line_is_dropped(tmp_path: Path) -> None:
    video = fetch(SOURCE, tmp_path).video
    with (tmp_path / "videos.jsonl").open("a") as file:
        file.write('{"id": "half')
    assert Manifest(tmp_path).videos() == [video]
    Manifest(tmp_path).add(video)
    assert len((tmp_path / "videos.jsonl").read_text().splitlines()) == 2


def test_whatever_ends_one_leaves_the_others(
    tmp_path: Path, make_video, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = (
        IndexError("list index out of range"),
        AssertionError(),
        MemoryError("1 TiB"),
        ValueError("odd\ud800"),
    )
    plain = fetching.fetch_job

    def fetch_job(job, run):
        if job.source.startswith("bad"):
            raise raised[int(job.source[3])]
        return plain(job, run)

    monkeypatch.setattr(fetching, "fetch_job", fetch_job)
    good = str(make_video(tmp_path / "good.mp4", seconds=1))
    results = list(fetch_all(["bad0.mp4", "bad1.mp4", good, "bad2.mp4", "bad3.mp4"], tmp_path / "out"))
    assert {result.source: result.video is not None for result in results} == {
        good: True,
        **{f"bad{number}.mp4": False for number in range(4)},
    }
    problems = " ".join(result.problem for result in results).encode().decode()
    assert all(type(error).__name__ in problems for error in raised)


def test_a_name_that_is_no_text_is_fetched_like_any_other(tmp_path: Path, make_video) -> None:
    plain = make_video(tmp_path / "plain.mp4", seconds=1)
    odd = plain.rename(tmp_path / os.fsdecode(b"Fu\xdfball\xff.mp4"))
    folder = tmp_path / os.fsdecode(b"L\xe4nder")
    names = tmp_path / "names.txt"
    names.write_bytes(os.fsencode(odd) + b"\n")
    sources = expand([f"@{names}", str(tmp_path / os.fsdecode(b"n\xf6.mp4"))])
    video = next(result.video for result in fetch_all(sources, folder) if result.video is not None)
    assert video.title == "Fu\ufffdball\ufffd"
    assert video.url.endswith("/Fu%DFball%FF.mp4")
    assert video.id.isascii()
    assert Manifest(folder).videos() == [video]
    assert not fetch(str(odd), folder).is_new
    lost = next(result for result in fetch_all(sources, folder) if result.video is None)
    assert json.loads(json.dumps([lost.source, lost.problem], ensure_ascii=False).encode())
