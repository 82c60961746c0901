"""Captions that a video holds itself: tracks of text in every container that ffmpeg puts them into."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from svlm_cli.data.fetch.folder import fetch_all
from svlm_cli.data.fetch.one import FetchOptions
from svlm_cli.data.words.align import align_folder
from svlm_cli.data.words.aligner import Aligned, AlignOptions, AlignOutcome
from svlm_cli.data.words.beside import align_files
from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.elsewhere import said_in
from svlm_cli.data.words.transcribe import WhisperOptions
from svlm_cli.data.words.transcript import TimedWord, words_in
from svlm_cli.data.words.within import NoCaptionsError
from svlm_cli.media.web.download import DownloadOptions
from tests.data.words.scripts import scc, script, srt, vtt

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
WORDS = ("goal", "keeper", "2-1", "Anfield", "it's", "saves", "she", "corner.", "R&D", "zwölf")
SECONDS = 40
FILM = ["-f", "lavfi", "-i", f"color=s=32x32:r=5:d={SECONDS}"]
KINDS = [
    ("mp4", "mov_text"),
    ("mov", "mov_text"),
    ("mkv", "subrip"),
    ("mkv", "ass"),
    ("mkv", "ssa"),
    ("mkv", "webvtt"),
]
CAPTIONS = AlignOptions(WhisperOptions("none"), transcript_from="captions")


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def random_cues(dice: random.Random) -> list[tuple[float, float, str]]:
    cues, at = [], dice.uniform(0, 2)
    while at < SECONDS - 4:
        rows = [" ".join(dice.choices(WORDS, k=dice.randint(1, 5))) for _ in range(dice.randint(1, 2))]
        end = at + dice.uniform(0.8, 3)
        cues.append((round(at, 3), round(end, 3), "\n".join(rows)))
        at = end + dice.choice([0.0, 0.1, dice.uniform(1, 6)])
    return cues


def with_captions(folder: Path, name: str, codec: str, cues: str, *more: object) -> Path:
    (folder / "text.srt").write_text(cues, encoding="utf-8")
    language = ["-metadata:s:s:0", "language=eng"]
    ffmpeg(*FILM, "-i", folder / "text.srt", "-c:v", "mpeg4", "-c:s", codec, *language, *more, folder / name)
    return folder / name


def placed(words: tuple[TimedWord, ...]) -> list[tuple[str, float, float]]:
    return [(word.text, word.start_seconds, word.end_seconds) for word in words]


def said(video: Path, language: str = "en") -> list[tuple[str, float, float]]:
    return placed(words_in(said_in(video, video, language)[0]))


@pytest.mark.parametrize("kind", KINDS, ids=map("-".join, KINDS))
def test_a_track_says_what_a_file_beside_it_would(tmp_path: Path, kind: tuple[str, str]) -> None:
    cues = srt(random_cues(random.Random(str(kind)))).replace("&amp;", "&")
    video = with_captions(tmp_path, f"a.{kind[0]}", kind[1], cues)
    expected = placed(words_in(read_utterances(tmp_path / "text.srt")))
    found = said(video)
    assert [text for text, _, _ in found] == [text for text, _, _ in expected]
    for (_, start, end), (_, begin, until) in zip(found, expected, strict=True):
        assert (start, end) == pytest.approx((begin, until), abs=0.02)


def test_times_within_a_line_are_kept(tmp_path: Path) -> None:
    line = "the<00:00:03.200><c> keeper</c><00:00:03.900><c> saves</c>"
    (tmp_path / "a.vtt").write_text(vtt([(3.0, 9.0, line)]))
    source = [*FILM, "-i", tmp_path / "a.vtt", "-c:v", "mpeg4", "-c:s", "copy"]
    ffmpeg(*source, tmp_path / "a.mkv")
    assert [(text, round(start, 3)) for text, start, _ in said(tmp_path / "a.mkv")] == [
        ("the", 3.0),
        ("keeper", 3.2),
        ("saves", 3.9),
    ]


@pytest.mark.parametrize("num_rows", [2, 3, 4])
def test_captions_of_a_608_track_roll_up(tmp_path: Path, num_rows: int) -> None:
    """The last line is there too, though nothing clears the screen after it."""
    lines = script(random.Random(num_rows), 8, longest_pause=2.0)
    (tmp_path / "a.scc").write_text(scc(lines, num_rows))
    film = ["-f", "lavfi", "-i", "color=s=32x32:r=1:d=99", "-i", tmp_path / "a.scc", "-map", "0:v", "-map", 1]
    ffmpeg(*film, "-c:v", "mpeg4", "-c:s", "copy", tmp_path / "a.mov")
    found = said(tmp_path / "a.mov")
    told = [word for line in lines for word in line]
    assert [text.replace("’", "'") for text, _, _ in found] == [word.text for word in told][: len(found)]
    assert len(found) >= len(told) - len(lines[-1])  # ffmpeg's muxer leaves out the last packet
    firsts = [line[0].start for line in lines for _ in line]
    assert all(start >= first - 0.1 for (_, start, _), first in zip(found, firsts, strict=False))


def test_captions_of_joined_recordings_lie_with_their_pictures(tmp_path: Path) -> None:
    part = with_captions(tmp_path, "a.mkv", "subrip", srt([(1, 2, "one"), (30, 31, "two")]), "-t", SECONDS)
    (tmp_path / "b.mkv").write_bytes(part.read_bytes() * 2)
    assert [(text, round(start, 2)) for text, start, _ in said(tmp_path / "b.mkv")] == [
        ("one", 1.0),
        ("two", 30.0),
        ("one", SECONDS + 1.0),
        ("two", SECONDS + 30.0),
    ]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """German, what is forced in English, English, and a track of which nobody says."""
    tracks = [("deu", "nein"), ("eng", "forced"), ("eng", "yes"), ("", "who")]
    source, named = list(FILM), []
    for number, (language, text) in enumerate(tracks):
        (tmp_path / f"{number}.srt").write_text(srt([(1, 2, text)]))
        source += ["-i", str(tmp_path / f"{number}.srt")]
        named += ["-map", f"{number + 1}:s", f"-metadata:s:s:{number}", f"language={language}"]
        named += [f"-disposition:s:{number}", "forced" if text == "forced" else "0"]
    ffmpeg(*source, "-map", "0:v", *named, "-c:v", "mpeg4", "-c:s", "mov_text", "-t", 4, tmp_path / "cup.mp4")
    for number in range(len(tracks)):
        (tmp_path / f"{number}.srt").unlink()
    return tmp_path / "cup.mp4"


def test_the_track_of_the_language_is_read(many: Path) -> None:
    for language, text in (("en", "yes"), ("eng", "yes"), ("de", "nein"), ("fr", "who")):
        assert [word for word, _, _ in said(many, language)] == [text]


def only(results: object) -> Aligned:
    (found,) = results  # type: ignore[misc]
    return found


def test_fetch_takes_them_along_and_align_reads_them(many: Path, tmp_path: Path) -> None:
    for subtitles, reads in (("en", ()), (None, ("read caption track 3 (eng, mov_text)",))):
        folder = tmp_path / str(subtitles)
        options = FetchOptions(download=DownloadOptions(subtitle_language=subtitles))
        (result,) = fetch_all([str(many)], folder, options)
        assert (result.problem, result.note) == ("", "")
        assert [path.suffix for path in folder.glob("subtitles/*")] == ([".vtt"] if subtitles else [])
        done = only(align_folder(folder, CAPTIONS))
        assert (done.outcome, done.notes) == (AlignOutcome.ALIGNED, reads)
        assert [word.text for word in done.transcript.words] == ["yes"]
    done = only(align_files([many], CAPTIONS, ["vtt"], tmp_path))
    assert [word.text for word in done.transcript.words] == ["yes"]
    assert "yes" in many.with_suffix(".vtt").read_text()


def test_what_there_is_is_told_where_nothing_can_be_read(tmp_path: Path) -> None:
    video = with_captions(
        tmp_path, "a.mp4", "mov_text", srt([(1, 2, "nein")]), "-metadata:s:s:0", "language=deu"
    )
    (tmp_path / "text.srt").unlink()
    with pytest.raises(NoCaptionsError, match=r"none in en .* it has caption track 1 \(deu, mov_text\)"):
        said(video)
    options = FetchOptions(download=DownloadOptions(subtitle_language="en"))
    (result,) = fetch_all([str(video)], tmp_path / "m", options)
    assert result.note.endswith("its folder has none, and it holds caption track 1 (deu, mov_text)")
    done = only(align_folder(tmp_path / "m", CAPTIONS))
    assert done.outcome is AlignOutcome.SKIPPED
    assert done.reason.startswith("no captions: none in en")


def test_captions_beside_in_another_language_are_named(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    ffmpeg(*FILM, film)
    for language, name in (("fr", "film.fr.srt"), ("eng", "film.eng.vtt")):
        other = "de" if language == "fr" else "fr"
        (tmp_path / name).write_text("1\n00:00:01,000 --> 00:00:02,000\nBut !\n")
        with pytest.raises(NoCaptionsError, match=f"none in {other} .*{name} beside it"):
            said_in(film, film, other)
        (tmp_path / name).unlink()
    with pytest.raises(NoCaptionsError, match="it has none"):
        said_in(film, film, "en")
