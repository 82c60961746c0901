from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest

from svlm_cli.commands.fetch_view import FetchView
from svlm_cli.commands.output import TalkConsole
from svlm_cli.data.words.aligner import AlignOptions
from svlm_cli.data.words.beside import align_files
from svlm_cli.data.words.caption_names import best_captions, caption_files
from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.outputs import FORMATS
from svlm_cli.data.words.transcribe import WhisperOptions
from svlm_cli.data.words.transcript import text_of, words_in
from tests.data.loopback import Site
from tests.data.web import fetch_one

VTT = "WEBVTT\n\n00:00.000 --> 00:02.000\nand he scores\n"
BODY = '<body><p begin="0s" end="2s">and he scores</p></body>'
TTML = f'<tt xmlns="http://www.w3.org/2006/10/ttaf1">{BODY}</tt>'
SRT = "1\n00:00:00,000 --> 00:00:02,000\nand he scores\n"


def with_tracks(site: Site, **languages: str) -> str:
    """A page of the film with caption tracks: their languages, and the names they are served under."""
    tracks = "".join(
        f'<track kind="subtitles" src="/{name}" srclang="{language}">' for language, name in languages.items()
    )
    page = f'<html><title>Cup</title><video src="/film.mp4">{tracks}</video></html>'
    files = {"/w.vtt": VTT.encode(), "/w.ttml": TTML.encode(), "/w.ass": b"[Script Info]\n"}
    site.files = {**site.files, **files, "/cup.html": page.encode()}
    return site.url("/cup.html")


@pytest.mark.parametrize(("language", "name"), [("eng", "w.vtt"), ("en_GB", "w.vtt"), ("en", "w.ttml")])
def test_captions_by_any_name_of_their_language(site: Site, tmp_path: Path, language: str, name: str) -> None:
    page = with_tracks(site, de="w.vtt", **{language: name})
    result = fetch_one(page, tmp_path, subtitle_language="en")
    assert (result.problem, result.note) == ("", "")
    (path,) = (tmp_path / "subtitles").iterdir()
    assert text_of(words_in(read_utterances(path))) == "and he scores"
    assert best_captions(caption_files(tmp_path / "subtitles", result.video.id), "en").path == path


def test_what_there_is_is_told_where_what_was_asked_for_is_not(site: Site, tmp_path: Path) -> None:
    result = fetch_one(with_tracks(site, de="w.vtt", fr="w.vtt"), tmp_path, subtitle_language="en")
    assert result.video is not None
    assert result.note == "no captions in en: the site has de, fr"
    assert fetch_one(site.url("/film.mp4"), tmp_path, subtitle_language="en").note.startswith("no captions")
    ass = fetch_one(with_tracks(site, en="w.ass"), tmp_path / "ass", subtitle_language="en")
    assert "captions: they come as .ass alone" in ass.problem
    told = io.StringIO()
    FetchView(TalkConsole(told), is_quiet=True).show(result, tmp_path)
    assert "the site has de, fr" in told.getvalue()


@pytest.mark.parametrize(
    ("beside", "taken"),
    [
        ({"cup.srt": SRT}, "en.srt"),
        ({"cup.de.srt": SRT, "cup.eng.ttml": TTML}, "eng.ttml"),
        ({"cup.json": json.dumps({"title": "Cup"}), "cup.en.vtt": VTT, "cup.srt": SRT}, "en.vtt"),
        ({"cup.json": json.dumps({"words": [{"word": "goal", "start": 0.5, "end": 1}]})}, "en.json"),
        ({"cup.de.srt": SRT, "cup.2.srt": SRT, "cups.srt": SRT}, None),
    ],
)
def test_captions_beside_a_file(
    film: bytes, tmp_path: Path, beside: dict[str, str], taken: str | None
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "cup.mp4").write_bytes(film)
    for name, content in beside.items():
        (folder / name).write_text(content)
    out = tmp_path / "out"
    assert not (out / "subtitles").exists()
    for _ in range(2):
        result = fetch_one(str(folder / "cup.mp4"), out, subtitle_language="en")
        assert result.video is not None
        found = [path.name for path in (out / "subtitles").iterdir()] if (out / "subtitles").exists() else []
        assert found == ([] if taken is None else [f"{result.video.id}.{taken}"])
        assert result.note == ("" if taken else "no captions in en: its folder has de")


@pytest.mark.parametrize("seed", range(5))
def test_captions_of_a_form_that_is_not_read_are_named(film: bytes, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    (tmp_path / "cup.mp4").write_bytes(film)
    forms = dice.sample([".ass", ".ssa", ".sbv", ".sup", ".sub", ".idx", ".scc"], dice.randrange(1, 5))
    names = {f"cup{dice.choice(['', '.en', '.fr', '.eng.sdh'])}{form}" for form in forms}
    for name in (*names, "cups.en.ass", "cup.final.ass"):
        (tmp_path / name).write_text("goal")
    there = dice.random() < 0.5
    if there:
        (tmp_path / "cup.de.srt").write_text(SRT)
    note = fetch_one(str(tmp_path / "cup.mp4"), tmp_path / "out", subtitle_language="en").note
    said, _, unread = note.partition("; ")
    has = " in en: its folder has de" if there else ": its folder has none that can be read"
    assert said == f"no captions{has}"
    named, is_told, _ = unread.partition(" beside it ")
    assert is_told
    assert set(named.split(", ")) == names
    assert ("ttconv" in unread) == (".scc" in forms)  # what FFmpeg makes of it comes early
    listed = align_one(tmp_path / "cup.mp4")
    assert all(name in listed for name in names)


def align_one(path: Path) -> str:
    """Why a file has no transcript, where its captions are to be read."""
    options = AlignOptions(WhisperOptions("none", device="cpu"), "captions")
    (result,) = align_files([path], options, FORMATS, path.parent / "answers")
    return result.reason
