"""Torn and absurd transcripts and manifests: one bad item costs itself alone, and is named."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run
from svlm_cli.data.chunks.chunk import ChunkRule
from svlm_cli.data.chunks.chunking import chunk_folder
from svlm_cli.data.chunks.report import ChunkReport
from svlm_cli.data.manifest import DAMAGED_LINE, Manifest, Video
from svlm_cli.data.words.align import align_folder
from svlm_cli.data.words.aligner import AlignOptions, AlignOutcome
from svlm_cli.data.words.report import report as align_report
from svlm_cli.data.words.transcribe import WhisperOptions
from svlm_cli.data.words.transcript import DenseClip, Dropped, TimedWord, Transcript, write_transcript
from svlm_cli.errors import SvlmError
from tests.cpu_time import no_hang
from tests.trust.damage import damaged

Cases = Callable[[int, int], range]
Tally = Callable[[str, int], None]
PROMISE = "a torn or absurd {} costs itself alone, is named and counted"
GOOD, BAD = ("good-first", "good-second"), "the-one-that-is-bad"
SENTENCE = "the lions attack down the left side café and nobody can stop their captain today"
MOST_BYTES = 20_000_000


def segments(seconds: int) -> list[tuple[float, float, str]]:
    return [(4.0 * k, 4.0 * k + 4, f"{SENTENCE} {k}") for k in range(seconds // 4)]


def echo(seconds: int) -> str:
    found = {str(k): list(row) for k, row in enumerate(segments(seconds))}
    return json.dumps({"segments": found}, ensure_ascii=False)


def whisperx(seconds: int) -> str:
    found: list[dict[str, Any]] = [{"start": s, "end": e, "text": text} for s, e, text in segments(seconds)]
    for each in found[::2]:
        word = {"word": "goal", "start": each["start"], "end": each["end"], "score": 0.5}
        each["words"] = [word, {"word": "untimed"}]
    return json.dumps({"segments": found}, ensure_ascii=False)


def stamp(seconds: float, mark: str) -> str:
    return f"00:{int(seconds) // 60:02d}:{int(seconds) % 60:02d}{mark}500"


def vtt(seconds: int) -> str:
    rows = [f"{stamp(s, '.')} --> {stamp(e, '.')}\n{text}\n" for s, e, text in segments(seconds)]
    return "WEBVTT\n\n" + "\n".join(rows)


def srt(seconds: int) -> str:
    rows = enumerate(segments(seconds), 1)
    return "\n".join(f"{k}\n{stamp(s, ',')} --> {stamp(e, ',')}\n{text}\n" for k, (s, e, text) in rows)


def ours() -> Transcript:
    words = [
        TimedWord(word, s + k / 4, s + (k + 1) / 4, 0.9)
        for s, _, text in segments(48)
        for k, word in enumerate(text.split())
    ]
    clip = DenseClip(2, 40, len(words), 0.5, 0.9)
    figures = {"words_outside_speech": 2, "sentences_keep": 12}
    return Transcript(
        tuple(words), {"from": "x"}, (Dropped("filler", 1.0, 2.0, "uh", 1),), (clip,), "", figures
    )


FORMS: dict[str, Callable[[int], str]] = {".json": echo, "x.json": whisperx, ".vtt": vtt, ".srt": srt}


def video(name: str) -> Video:
    return Video(name, f"title é {name}", "", "", f"videos/{name}.mp4", 60.0, 64, 48, 5.0, False, "0", "2026")


@pytest.fixture
def make_folder(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A folder of videos and transcripts made elsewhere, of these names; one at a time."""
    folder = tmp_path / "case"

    def make(names: tuple[str, ...]) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "videos").mkdir(parents=True)
        (folder / "given").mkdir()
        for name in names:
            (folder / "videos" / f"{name}.mp4").touch()
            (folder / "given" / f"{name}.json").write_text(echo(60))
        lines = (json.dumps({k: getattr(video(name), k) for k in Video.__slots__}) + "\n" for name in names)
        (folder / "videos.jsonl").write_text("".join(lines))
        return folder

    return make


def align(folder: Path) -> dict[str, AlignOutcome]:
    options = AlignOptions(WhisperOptions(), transcript_from=str(folder / "given"))
    results = list(align_folder(folder, options))
    told = align_report(folder, results, 1.0)
    reasons = [each.reason for each in results if each.outcome is AlignOutcome.SKIPPED]
    assert all(each.startswith(("unreadable transcript: ", "no transcript of it")) for each in reasons)
    assert told.left_out.get("unreadable transcript", 0) == sum(each.startswith("unr") for each in reasons)
    assert not any(each.outcome is AlignOutcome.FAILED for each in results), results
    return {each.video.id: each.outcome for each in results}


def chunk(folder: Path, *, check_videos: bool = True, annealing: bool = False) -> ChunkReport:
    return chunk_folder(
        folder, folder / "set", ChunkRule(), valid_share=0, check_videos=check_videos, annealing=annealing
    )


def no_constant(name: str) -> None:
    raise AssertionError(name)


def chunks_by_video(folder: Path, kind: str = "s12w24") -> dict[str, list[Any]]:
    """What is in the data set, read as strict JSON of UTF-8, with all times in bounds."""
    path = folder / "set" / f"train_{kind}_with_seeks.jsonl"
    assert path.stat().st_size < MOST_BYTES
    found: dict[str, list[Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line, parse_constant=no_constant)
        place = sample[0]["content"][0]
        assert 0 <= place["video_start"] < place["video_end"] <= 1e6
        found.setdefault(Path(place["video"]).stem, []).append(sample)
    return found


def names_of(report: ChunkReport) -> set[str]:
    return {
        name.split(" (")[0]
        for part in report.splits
        for told in part.dropped_video_names.values()
        for name in told
    }


def undisturbed(make_folder: Callable[..., Path]) -> dict[str, list[Any]]:
    folder = make_folder(GOOD)
    align(folder)
    chunk(folder)
    return chunks_by_video(folder)


def test_transcripts_made_elsewhere(cases: Cases, tally: Tally, make_folder: Callable[..., Path]) -> None:
    expected = undisturbed(make_folder)
    assert set(expected) == set(GOOD)
    numbers = cases(24, 400)
    for seed in numbers:
        dice = random.Random(f"transcript {seed}")
        form = dice.choice(list(FORMS))
        folder = make_folder((*GOOD, BAD))
        (folder / "given" / f"{BAD}.json").unlink()
        content = damaged(FORMS[form](60).encode(), dice, is_json="json" in form)
        (folder / "given" / f"{BAD}{form.removeprefix('x')}").write_bytes(content)
        with no_hang(seed):
            outcomes = align(folder)
            report = chunk(folder)
        assert set(outcomes) == {*GOOD, BAD}
        found = chunks_by_video(folder)
        bad = found.pop(BAD, None)
        assert (bad is None) == (BAD in names_of(report)), seed
        assert found == expected, seed
    tally(PROMISE.format("transcript"), len(numbers))


def test_transcripts_of_ours(cases: Cases, tally: Tally, make_folder: Callable[..., Path]) -> None:
    """As they lie in the folder; with --annealing too, and without a manifest."""
    numbers = cases(24, 350)
    expected: dict[tuple[bool, bool], dict[str, list[Any]]] = {}
    for seed in range(-4, len(numbers)):  # the first four are undisturbed
        dice = random.Random(f"ours {seed}")
        annealing, has_manifest = bool(seed % 2), bool(seed // 2 % 2)
        folder = make_folder(GOOD if seed < 0 else (*GOOD, BAD))
        for name in (*GOOD, BAD)[: 2 if seed < 0 else 3]:
            write_transcript(folder / "transcripts" / f"{name}.json", ours())
        if seed >= 0:
            path = folder / "transcripts" / f"{BAD}.json"
            path.write_bytes(damaged(path.read_bytes(), dice, is_json=True))
        if not has_manifest:
            (folder / "videos.jsonl").unlink()
        with no_hang(seed):
            report = chunk(folder, check_videos=has_manifest, annealing=annealing)
        found = chunks_by_video(folder, "annealing" if annealing else "s12w24")
        if seed < 0:
            expected[annealing, has_manifest] = found
            assert set(found) == set(GOOD)
            continue
        bad = found.pop(BAD, None)
        assert bad is not None or BAD in names_of(report), seed
        assert found == expected[annealing, has_manifest], seed
    tally(PROMISE.format("transcript"), len(numbers))


def test_manifests(
    cases: Cases, tally: Tally, make_folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """One line of ``videos.jsonl``, in the middle or torn at the end; align, chunk and fetch's own note."""
    expected = undisturbed(make_folder)
    caplog.set_level(logging.WARNING)
    numbers = cases(24, 350)
    for seed in numbers:
        dice = random.Random(f"manifest {seed}")
        folder = make_folder((*GOOD, BAD))
        path = folder / "videos.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        bad = damaged(lines.pop().rstrip(b"\n"), dice, is_json=True)
        at_end = dice.random() < 0.5
        lines.insert(2 if at_end else dice.randint(0, 1), bad + (b"" if at_end else b"\n"))
        path.write_bytes(b"".join(lines))
        caplog.clear()
        outcomes = align(folder)
        report = chunk(folder)
        found = chunks_by_video(folder)
        assert {name: found.get(name) for name in GOOD} == expected, seed
        assert {*GOOD} <= set(outcomes)
        told = {int(name.split()[1]) for name in report.splits[0].dropped_video_names.get(DAMAGED_LINE, ())}
        warned = {int(record.args[0]) for record in caplog.records if record.args}  # type: ignore[index, arg-type]
        assert told == warned, seed
        assert at_end or told or len(outcomes) == 3 or not bad.strip(), seed
        Manifest(folder).add(video("another"))
        after = {each.id for each in Manifest(folder).videos()}
        assert {*GOOD, "another"} <= after, seed
    tally(PROMISE.format("line of videos.jsonl"), len(numbers))


def test_a_folder_of_nothing_but_damage_is_a_failure(
    tmp_path: Path, make_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder((BAD,))
    (folder / "given" / f"{BAD}.json").write_bytes(b"\xff")
    assert run(["align", str(folder), "--transcript-from", str(folder / "given")]) == 1
    assert "no video has a transcript: 1 of 1" in capsys.readouterr().err
    (folder / "videos.jsonl").write_bytes(b"{}\n\xff\n")
    for command in (["align"], ["chunk", "--out", str(tmp_path / "set")]):
        assert run([*command, str(folder)]) == 1
        assert "none of the 2 lines" in capsys.readouterr().err
    with pytest.raises(SvlmError, match="none of the 2 lines"):
        Manifest(folder).videos(needs_one=True)
