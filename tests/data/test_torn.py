"""Files that a kill has torn or that say absurd things: one bad item is named and left out."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run
from svlm_cli.data.chunks.chunk import ChunkFile, ChunkRule
from svlm_cli.data.chunks.chunking import chunk_folder
from svlm_cli.data.fetch.folder import expand
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.data.words.heard import read_heard
from svlm_cli.data.words.transcript import DenseClip, TimedWord, Transcript, transcript_path, write_transcript
from svlm_cli.errors import SourceError, UsageError

WORDS = tuple(TimedWord(f"goal{k}", k / 3, (k + 1) / 3, 0.5) for k in range(180))
GOOD = Transcript(WORDS, clips=(DenseClip(0, 30, 90, 0.5, 0.9),))


def video(name: str, **more: Any) -> Video:
    whole = Video(
        name, f"é {name}", "", "", f"videos/{name}.mp4", 60.0, 64, 48, 5.0, False, "0", "2026-01-01"
    )
    return replace(whole, **more)


def make(folder: Path, *names: str) -> Path:
    (folder / "videos").mkdir(parents=True)
    for name in names:
        (folder / "videos" / f"{name}.mp4").touch()
        write_transcript(transcript_path(folder, name), GOOD)
        with (folder / "videos.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(video(name)), ensure_ascii=False) + "\n")
    return folder


def chunk(folder: Path, **more: Any) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Names that were left out by reason, and the videos in the data set."""
    report = chunk_folder(folder, folder / "set", ChunkRule(), valid_share=0, **more)
    names = {Path(each.video).stem for each in ChunkFile(folder / "set", "train_s12w24")}
    return dict(report.splits[0].dropped_video_names), names


def inside_a_letter(line: bytes) -> bytes:
    return line[: line.index("é".encode()) + 1]


def test_a_line_cut_inside_a_letter_costs_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path, "a", "b", "c") / "videos.jsonl"
    first, second, third = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, inside_a_letter(second), third, b""]))
    assert [each.id for each in Manifest(tmp_path).videos()] == ["a", "c"]
    (told,) = caplog.messages
    assert "line 2 of" in told
    assert "not UTF-8" in told
    dropped, names = chunk(tmp_path)
    assert names == {"a", "c"}
    ((reason, (line,)),) = dropped.items()
    assert reason == "damaged line of videos.jsonl"
    assert line.startswith("line 2 (it is not UTF-8")


def test_a_torn_end_is_dropped_and_a_whole_one_kept(tmp_path: Path) -> None:
    path = make(tmp_path, "a", "b") / "videos.jsonl"
    first, second = path.read_bytes().splitlines()
    for tail, kept in ((inside_a_letter(second), []), (second[:-1], []), (second, ["b"])):
        path.write_bytes(first + b"\n" + tail)
        assert [each.id for each in Manifest(tmp_path).videos()] == ["a", *kept]
        Manifest(tmp_path).add(video("c"))
        assert [each.id for each in Manifest(tmp_path).videos()] == ["a", *kept, "c"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration_seconds", 1e9),
        ("duration_seconds", float("nan")),
        ("duration_seconds", "long"),
        ("duration_seconds", 10**400),
        ("duration_seconds", [[60]]),
        ("width", -1),
        ("fps", 1e300),
        ("id", "../../a"),
        ("id", "a" * 300),
        ("path", "/etc/passwd"),
        ("path", "videos/\0.mp4"),
        ("title", None),
        ("has_audio", "yes"),
    ],
)
def test_an_absurd_line_costs_itself(tmp_path: Path, field: str, value: object) -> None:
    path = make(tmp_path, "a", "b") / "videos.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(asdict(video("c")) | {field: value}) + "\n")
    dropped, names = chunk(tmp_path)
    assert names == {"a", "b"}
    ((_, (line,)),) = dropped.items()
    assert line.startswith(f"line 3 ({field} ")


def test_what_could_not_be_read_again_is_not_noted(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="duration_seconds is no time"):
        Manifest(tmp_path).add(video("a", duration_seconds=1e9))
    Manifest(tmp_path).add(video("a", title="half \ud83d"))
    assert [each.title for each in Manifest(tmp_path).videos()] == ["half \ufffd"]


ABSURD: list[tuple[list[str | int], Any]] = [
    (["words", 5, "end_seconds"], 1e15),
    (["words", 5, "end_seconds"], float("nan")),
    (["words", 5, "end_seconds"], 10**400),
    (["words", 5, "end_seconds"], "soon"),
    (["words", 5, "start_seconds"], None),
    (["words", 5, "text"], 7),
    (["words", 5], []),
    (["words"], {}),
    (["figures"], {"words_outside_speech": "many"}),
    (["figures"], {"words_outside_speech": [10**400]}),
    (["dropped"], [{"reason": 1}]),
    (["dropped"], [{"reason": "x", "start_seconds": 0, "end_seconds": 1e15, "text": "", "num_words": 1}]),
    (["clips", 0, "end_seconds"], 10**15),
    (["clips", 0, "start_seconds"], "0"),
    (["refused"], 5),
    (["origin"], [1]),
]


@pytest.mark.parametrize(("place", "value"), ABSURD, ids=[str(number) for number in range(len(ABSURD))])
@pytest.mark.parametrize("has_manifest", [True, False])
def test_an_absurd_transcript_costs_itself(
    tmp_path: Path, place: list[str | int], value: object, has_manifest: bool
) -> None:
    make(tmp_path, "a", "b")
    path = transcript_path(tmp_path, "b")
    document = json.loads(path.read_text())
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    path.write_text(json.dumps(document))
    if not has_manifest:
        (tmp_path / "videos.jsonl").unlink()
    dropped, names = chunk(tmp_path, check_videos=has_manifest)
    assert names == {"a"}
    assert list(dropped) == ["unreadable transcript"]
    assert dropped["unreadable transcript"][0].startswith("b (the transcript ")


@pytest.mark.parametrize(
    "content", [b"\xff", b"[" * 100_000, b'{"words": [' + b"1" * 9000 + b"]}", b"\0" * 500]
)
def test_a_torn_transcript_costs_itself(tmp_path: Path, content: bytes) -> None:
    make(tmp_path, "a", "b")
    transcript_path(tmp_path, "b").write_bytes(content)
    assert chunk(tmp_path)[1] == {"a"}


def test_half_a_pair_in_a_transcript_is_replaced(tmp_path: Path) -> None:
    make(tmp_path, "a")
    path = transcript_path(tmp_path, "a")
    path.write_text(path.read_text().replace("goal7", "goal\\ud83d"))
    assert chunk(tmp_path)[1] == {"a"}
    assert "goal\ufffd" in ChunkFile(tmp_path / "set", "train_s12w24")[0].lines[2]


def test_align_names_and_counts_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "a", "b")
    with (tmp_path / "videos.jsonl").open("ab") as file:
        file.write(b'{"id": "\xff"}\n')
    (tmp_path / "transcripts").rename(tmp_path / "given")
    said = "the lions attack down the left side and nobody can stop their captain today"
    (tmp_path / "given" / "a.json").write_text(json.dumps({"segments": {"0": [0, 8, said]}}))
    (tmp_path / "given" / "b.json").write_bytes(b'{"segments": {"0": [0, 1e15, "x"]}}')
    arguments = ["align", str(tmp_path), "--transcript-from", str(tmp_path / "given")]
    assert run([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert report["left_out"] == {"unreadable transcript": 1, "damaged line of videos.jsonl": 1}
    assert report["bad_lines"][0].startswith("line 3 of videos.jsonl: ")
    assert "segment 0: 0 to 1000000000000000.0 is no span of time" in told.err
    assert transcript_path(tmp_path, "a").is_file()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    "change",
    [
        {"speech_seconds": "x"},
        {"utterances": [[["a", 0.0, 1e15, None]]]},
        {"utterances": [[["a", 0.0]]]},
        {"utterances": 5},
        {"dropped": [{}]},
        {"other_language": ["es"]},
        {"settings": None},
        {"sound": None},
        {"sound": {"joins": [{"seconds": "x"}]}},
    ],
)
def test_an_absurd_store_of_what_was_heard_is_passed_over(tmp_path: Path, change: dict[str, Any]) -> None:
    stored = {
        "settings": ["m", "en", "0"],
        "utterances": [[["a", 0.0, 1.0, None]]],
        "dropped": [],
        "speech_seconds": 3.0,
        "other_language": ["es", 0.9],
        "sound": {"track": 1, "joins": [{"seconds": 1.0, "by_seconds": 3600.0}]},
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(stored))
    found = read_heard(path)
    assert found is not None
    assert found[1].recognition.utterances == [(TimedWord("a", 0.0, 1.0),)]
    path.write_text(json.dumps(stored | change))
    assert read_heard(path) is None


def test_a_list_of_sources_in_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa.mp4\n# no\n caf\xe9.mp4 \r\n\nb\xc3\xa9.mp4")
    assert expand([f"@{path}"]) == ["a.mp4", "caf\udce9.mp4", "bé.mp4"]
    path.write_bytes("a.mp4\n".encode("utf-16"))
    with pytest.raises(UsageError, match="zero bytes"):
        expand([f"@{path}"])
