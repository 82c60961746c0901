"""``svlm chunk`` on transcripts alone, made elsewhere; the real ones too."""

from __future__ import annotations

import json
import math
import shutil
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

import pytest

from svlm_cli.data.chunks.chunk import ChunkFile, ChunkRule
from svlm_cli.data.chunks.chunking import chunk_folder
from svlm_cli.data.chunks.report import ChunkReport
from svlm_cli.data.chunks.videos import find_videos
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.data.words.align import align_folder
from svlm_cli.data.words.aligner import AlignOptions
from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.filters import drop_loops
from svlm_cli.data.words.report import report as align_report
from svlm_cli.data.words.transcribe import WhisperOptions
from svlm_cli.data.words.transcript import TimedWord, Transcript, words_in, write_transcript
from svlm_cli.errors import SourceError
from tests.data.words.test_filters import EMPTY, GOOD_HALVES, REPEATED, SPANISH

SENTENCE = "the lions attack down the left side and nobody can stop their captain today"


def echoes(path: Path, seconds: int = 60, text: str = SENTENCE) -> None:
    """A segment of 4 s after the other, each with a number so that it is no loop."""
    segments = {str(k): [4.0 * k, 4.0 * k + 4, f"{text} {k}"] for k in range(seconds // 4)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"segments": segments}))


def chunk_alone(folder: Path, dataset: Path, **more) -> ChunkReport:
    return chunk_folder(folder, dataset, ChunkRule(), check_videos=False, **more)


def stamp(seconds: float) -> str:
    return f"00:{int(seconds) // 60:02d}:{seconds % 60:06.3f}"


def test_every_form_gives_the_same_chunks(tmp_path: Path) -> None:
    """SoccerNet-Echoes, WhisperX, captions, and ours."""
    folder = tmp_path / "transcripts"
    echoes(folder / "a.json")
    segments = json.loads((folder / "a.json").read_text())["segments"].values()
    whisperx = [{"start": start, "end": end, "text": text} for start, end, text in segments]
    (folder / "b.json").write_text(json.dumps({"segments": whisperx}))
    cues = [f"{stamp(start)} --> {stamp(end)}\n{text}\n" for start, end, text in segments]
    (folder / "c.vtt").write_text("WEBVTT\n\n" + "\n".join(cues))
    numbered = [f"{k}\n{cue}".replace(".000", ",000") for k, cue in enumerate(cues, 1)]
    (folder / "d.srt").write_text("\n".join(numbered))
    words = words_in(read_utterances(folder / "a.json"))
    write_transcript(folder / "e.json", Transcript(words))
    report = chunk_alone(folder, tmp_path / "set", valid_share=0)
    assert report.splits[0].num_videos == 5
    assert not report.dropped_videos
    told: dict[str, list[object]] = {}
    for chunk in ChunkFile(tmp_path / "set", "train_s12w24"):
        path = (tmp_path / "set" / chunk.video).resolve()
        assert path.parent == folder / "videos"  # where svlm fetch would put it
        told.setdefault(path.name, []).append([chunk.start_seconds, chunk.lines, chunk.previous_text])
    assert [f"{name}.mp4" for name in "abcde"] == list(told)
    assert all(each == told["a.mp4"] for each in told.values())
    assert [start for start, _, _ in told["a.mp4"]] == [0, 12, 24, 36]


def test_the_folder_above_the_transcripts_will_do(tmp_path: Path) -> None:
    echoes(tmp_path / "matches" / "transcripts" / "a.json")
    (video,) = find_videos(tmp_path / "matches", check_videos=False)
    assert video.path == tmp_path / "matches" / "videos" / "a.mp4"


def test_what_is_ours_is_taken_as_it_is(tmp_path: Path) -> None:
    """It was cleaned when it was made; a refused one stays refused."""
    words = tuple(TimedWord("gol", k / 3, (k + 1) / 3) for k in range(180))
    write_transcript(tmp_path / "loop.json", Transcript(words))
    write_transcript(tmp_path / "no.json", Transcript((), refused="it is not in en but in es: 3 of 3 parts"))
    report = chunk_alone(tmp_path, tmp_path / "set", valid_share=0)
    assert report.splits[0].words_per_second == pytest.approx(3, abs=0.05)
    assert report.splits[0].dropped_video_names == {"it is not in en but in es": ("no (3 of 3 parts)",)}


def test_the_last_word_ends_the_video(tmp_path: Path) -> None:
    """Of all words, those left out too: a loop at the end is no end."""
    echoes(tmp_path / "a.json", 48)
    document = json.loads((tmp_path / "a.json").read_text())
    document["segments"] |= {str(100 + k): [48 + k, 49 + k, "stop it now"] for k in range(12)}
    (tmp_path / "a.json").write_text(json.dumps(document))
    report = chunk_alone(tmp_path, tmp_path / "set", valid_share=0, min_words_per_second=0)
    assert report.dropped_words == {"repeated": 33}
    assert [chunk.end_seconds for chunk in ChunkFile(tmp_path / "set", "train_s12w24")] == [24, 36, 48, 60]


def test_what_gives_no_chunks_is_counted_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    echoes(folder / "good.json")
    echoes(folder / "short.json", 20)
    echoes(folder / "empty.json", 0)
    (folder / "broken.json").write_text("{")
    (folder / "list.json").write_text("[1]")
    for k in range(25):
        (folder / f"other{k}.vtt").write_text("no captions")
    report = chunk_alone(folder, tmp_path / "set", valid_share=0)
    assert report.dropped_videos == {
        "unreadable transcript": 27,
        "shorter than 24 s": 1,
        "empty transcript": 1,
    }
    written = json.loads((tmp_path / "set" / "report.json").read_text())["splits"][0]
    names = written["dropped_video_names"]
    assert names["shorter than 24 s"] == ["short"]
    assert names["empty transcript"] == ["empty"]
    assert len(names["unreadable transcript"]) == 20
    assert names["unreadable transcript"][0].startswith("broken (")
    assert written["dropped_videos"] == report.dropped_videos
    assert any("27 videos (unreadable transcript): broken (" in line for line in report.lines())
    assert any(line.endswith("and 24 more") for line in report.lines())


def test_dropped_words_are_those_of_align(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    echoes(folder / "a.json")
    document = json.loads((folder / "a.json").read_text())
    noise = ["[crowd cheers]", "uh he uh shoots", "Thanks for watching!", *["come on then"] * 6, "..."]
    document["segments"] |= {str(500 + k): [60 + k, 61 + k, text] for k, text in enumerate(noise)}
    (folder / "a.json").write_text(json.dumps(document))
    report = chunk_alone(folder, tmp_path / "set", valid_share=0)
    assert report.dropped_words == aligned_drops(folder, ["a"], tmp_path / "matches")
    expected = {
        "repeated": 15,
        "invented over silence": 3,
        "description of sound": 2,
        "filler": 2,
        "empty": 1,
    }
    assert report.dropped_words == expected


def aligned_drops(transcripts: Path, names: list[str], folder: Path) -> dict[str, int]:
    """What svlm align --transcript-from leaves out of the same transcripts, by reason."""
    for name in names:
        video = Video(name, name, "", "", f"videos/{name}.mp4", 3000.0, 64, 48, 5.0, False, "0", "2026-01-01")
        Manifest(folder).add(video)
    options = AlignOptions(WhisperOptions(), transcript_from=str(transcripts))
    return dict(align_report(folder, list(align_folder(folder, options)), 1.0).dropped_words)


def test_the_language_can_be_another(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for name in (SPANISH, GOOD_HALVES[0]):
        shutil.copy(shared_data / "transcripts" / f"{name}.json", tmp_path / "t")
    for language, left_out in (("es", GOOD_HALVES[0]), ("en", SPANISH)):
        report = chunk_alone(tmp_path / "t", tmp_path / "set", valid_share=0, language=language)
        (names,) = report.splits[0].dropped_video_names.values()
        assert names[0].startswith(left_out)


def test_two_transcripts_of_one_video(tmp_path: Path) -> None:
    echoes(tmp_path / "a.json")
    (tmp_path / "a.vtt").write_text("WEBVTT\n")
    with pytest.raises(SourceError, match=r"a\.json and a\.vtt .* both of the video a.*rename"):
        chunk_alone(tmp_path, tmp_path / "set")


def test_a_folder_that_cannot_be_used_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, told in (("empty", "neither videos.jsonl nor transcripts"), ("nowhere", "is no folder")):
        for check in (True, False):
            with pytest.raises(SourceError, match=f"{told}.*svlm fetch SOURCE --out .*svlm align"):
                find_videos(tmp_path / name, check_videos=check)
    echoes(tmp_path / "t" / "a.json")
    with pytest.raises(
        SourceError, match=r"transcripts .1. but no videos\.jsonl.*--no-video-check.*svlm fetch"
    ):
        find_videos(tmp_path / "t", check_videos=True)
    assert not list(tmp_path.glob("*/.chunk"))


def words_of_half(path: Path) -> list[TimedWord]:
    """Segments spread and set in order here; the loops are those of the filter."""
    utterances = []
    for start, end, text in json.loads(path.read_text())["segments"].values():
        said = text.split()
        step = (end - start) / max(1, len(said))
        row = [TimedWord(word, start + k * step, start + (k + 1) * step) for k, word in enumerate(said)]
        utterances += [tuple(row)] if row else []
    time, words = 0.0, []
    for word in words_in(sorted(utterances, key=lambda row: row[0].start_seconds)):
        time = max(time, word.end_seconds)
        words.append(TimedWord(word.text, time, time))
    return list(words_in(drop_loops([(word,) for word in words])[0]))


def test_the_real_transcripts(shared_data: Path, tmp_path: Path) -> None:
    """Counts against a recount of every window of every half, word by word."""
    transcripts = shared_data / "transcripts"
    report = chunk_alone(transcripts, tmp_path / "set", valid_share=0)
    (train, _) = report.splits
    kept, sparse, seconds, num_words, silent = 0, 0, 0, 0, 0
    for name in GOOD_HALVES:
        path = transcripts / f"{name}.json"
        moments = [round(word.end_seconds, 3) for word in words_of_half(path)]
        duration = max(end for _, end, _ in json.loads(path.read_text())["segments"].values())
        for start in range(0, math.floor(duration) - 23, 12):
            ends = moments[bisect_right(moments, start) : bisect_right(moments, start + 24)]
            if len(ends) < 48:
                sparse += 1
                continue
            kept, seconds, num_words = kept + 1, seconds + 24, num_words + len(ends)
            silent += 24 - len({math.ceil(end) for end in ends})
    found = (train.num_chunks, report.dropped_chunks["fewer than 2 words per second"])
    assert found[0] + found[1] == kept + sparse
    assert found[0] == pytest.approx(kept, abs=1)  # fillers: a word or two of a half
    assert train.hours == pytest.approx(seconds / 3600, abs=24 / 3600 + 1e-4)
    assert train.words_per_second == pytest.approx(num_words / seconds, abs=0.005)
    assert train.silent_share == pytest.approx(silent / seconds, abs=0.002)
    assert {reason: names[0].split()[0] for reason, names in train.dropped_video_names.items()} == {
        "it is not in en but in es": SPANISH,
        "empty transcript": EMPTY,
        "a phrase is said over and over": REPEATED,
    }
    assert report.dropped_words == aligned_drops(
        transcripts, [path.stem for path in sorted(transcripts.glob("*.json"))], tmp_path / "matches"
    )


def test_real_chunks_follow_each_other(shared_data: Path, tmp_path: Path) -> None:
    """What one chunk says in its first half, the next has as the end of its previous text."""
    chunk_alone(shared_data / "transcripts", tmp_path, valid_share=0, min_words_per_second=0)
    pairs = 0
    for first, second in pairwise(ChunkFile(tmp_path, "train_s12w24")):
        if first.video == second.video:
            said = " ".join(" ".join(first.lines[:12]).split())
            assert second.previous_text.endswith(said)
            assert first.lines[12:] == second.lines[:12]
            pairs += 1
    assert pairs > 1000
