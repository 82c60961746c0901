from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.transcript import TimedWord, words_in
from tests.cpu_time import no_hang
from tests.data.words import scripts
from tests.data.words.scripts import Line, Said

EXACT = 0.07  # a frame of 30 a second, twice rounded


def read(folder: Path, name: str, content: str) -> tuple[TimedWord, ...]:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return words_in(read_utterances(path))


def check(words: tuple[TimedWord, ...], lines: list[Line], *, starts_within: float | None = None) -> None:
    """Each word once, in order, none before its line and none behind the pause after it."""
    truth = [word for line in lines for word in line]
    assert [word.text for word in words] == [word.text for word in truth]
    number = 0
    for line in lines:
        for said in line:
            word = words[number]
            number += 1
            assert word.start_seconds >= line[0].start - EXACT
            assert word.end_seconds <= line[-1].end + 1.0 + EXACT, (word, line)
            if starts_within is not None:
                assert abs(word.start_seconds - said.start) <= starts_within
                assert abs(word.end_seconds - said.end) <= 0.6


SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_rows", [2, 3, 4])
def test_captions_that_roll_up(tmp_path: Path, num_rows: int, seed: int) -> None:
    rng = random.Random(seed)
    lines = scripts.script(rng)
    cues = scripts.roll_up(lines, num_rows, rng)
    check(read(tmp_path, "a.srt", scripts.srt(cues)), lines)
    check(read(tmp_path, "a.ttml", scripts.ttml(cues, rng)), lines)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_rows", [1, 2, 3])
def test_captions_that_are_painted(tmp_path: Path, num_rows: int, seed: int) -> None:
    rng = random.Random(seed)
    lines = scripts.script(rng)
    check(
        read(tmp_path, "a.srt", scripts.srt(scripts.painted(lines, num_rows, rng))),
        lines,
        starts_within=EXACT,
    )


@pytest.mark.parametrize("blank", [" ", ""], ids=["blanks", "blanks cut off"])
@pytest.mark.parametrize("seed", SEEDS)
def test_captions_that_are_painted_letter_by_letter(tmp_path: Path, seed: int, blank: str) -> None:
    """A blank too is a letter, and takes as long."""
    rng = random.Random(seed)
    said = ["goal", "no", "the", "keeper", "saves", "and", "a", "I"][: 8 if blank else 6]
    cues, starts, time, before = [], [], 1.0, ""
    for _ in range(rng.randrange(6, 12)):
        line = " ".join(rng.choice(said) for _ in range(rng.randrange(1, 6)))
        if line[0] == before[:1] == before.rstrip()[-1:]:  # of one letter, which nobody can tell from a blank
            continue
        before = line
        step = rng.choice([0.04, 0.1, 0.2])
        for number in range(1, len(line) + 1, 1):
            shown = line[:number] if line[number - 1] != " " else line[: number - 1] + blank
            cues.append((time, time + step, shown))
            if number == 1 or line[number - 2] == " ":
                starts.append((time, line[number - 1 :].split()[0]))
            time += step
        time += rng.choice([0.0, 0.3])
    words = read(tmp_path, "a.srt", scripts.srt(cues))
    assert [word.text for word in words] == [text for _, text in starts]
    for word, (start, _) in zip(words, starts, strict=True):
        assert word.start_seconds == pytest.approx(start, abs=EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_captions_of_youtube(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lines = scripts.script(rng)
    check(read(tmp_path, "a.vtt", scripts.vtt(scripts.youtube(lines, rng))), lines, starts_within=EXACT)
    check(read(tmp_path, "a.json3", scripts.json3(lines)), lines, starts_within=EXACT)
    check(read(tmp_path, "a.srv3", scripts.srv3(lines)), lines, starts_within=EXACT)
    check(read(tmp_path, "a.srv1", scripts.srv1(lines)), lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_captions_that_pop_on(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lines = scripts.script(rng)
    cues = scripts.pop_on(lines, rng)
    for name, content in (("a.srt", scripts.srt(cues)), ("a.ttml", scripts.ttml(cues, rng))):
        words = read(tmp_path, name, content)
        assert [word.text for word in words] == [word.text for line in lines for word in line]
    check(read(tmp_path, "words.ttml", scripts.ttml_words(lines)), lines, starts_within=EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_captions_that_pop_on_and_begin_alike(tmp_path: Path, seed: int) -> None:
    """Each stays as long as it takes to read it: nothing is painted so slowly."""
    rng = random.Random(seed)
    cues, said, time, line = [], [], 1.0, ["Goal"]
    for _ in range(rng.randrange(6, 40)):
        if rng.random() < 0.6:
            line = [*line[: rng.randrange(1, len(line) + 1)], *rng.choices(scripts.NOUNS, k=rng.randrange(3))]
        else:
            line = rng.choices(scripts.NOUNS, k=rng.randrange(1, 5))
        line = line[:7]
        seconds = max(1.2, 0.4 * len(line)) * rng.uniform(1.0, 1.8)
        cues.append((time, time + seconds, " ".join(line)))
        said += line
        time += seconds + rng.choice([0.0, 0.04, 0.5, 2.0])
    assert [word.text for word in read(tmp_path, "a.srt", scripts.srt(cues))] == said


@pytest.mark.parametrize("seed", range(20))
def test_words_of_recognisers(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lines = scripts.script(rng)
    words = read(tmp_path, "a.json", scripts.verbose_json(lines, rng))
    truth = [word for line in lines for word in line]
    assert [(word.text, word.start_seconds, word.end_seconds) for word in words] == [
        (word.text, word.start, word.end) for word in truth
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_rows", [2, 3, 4])
def test_what_ffmpeg_makes_of_roll_up_captions(tmp_path: Path, num_rows: int, seed: int) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    rng = random.Random(seed)
    lines = [
        tuple(Said(word.text.strip("<>").replace("'", "").upper(), word.start, word.end) for word in line)
        for line in scripts.script(rng, longest_pause=4.0)
        if len(scripts.text(line)) <= 32  # as a row of CEA-608 has
    ]
    (tmp_path / "a.scc").write_text(scripts.scc(lines, num_rows))
    for more in ([], ["-real_time", "1"]):
        run = ["ffmpeg", "-loglevel", "error", "-y", *more, "-i", tmp_path / "a.scc", tmp_path / "a.srt"]
        subprocess.run(run, check=True)
        check(words_in(read_utterances(tmp_path / "a.srt")), lines)


def test_three_hours_of_captions_take_linear_time(tmp_path: Path) -> None:
    rng = random.Random(1)
    lines = scripts.script(rng, 4000)
    assert lines[-1][-1].end > 2.5 * 3600
    with no_hang():
        check(read(tmp_path, "a.vtt", scripts.vtt(scripts.youtube(lines, rng))), lines, starts_within=EXACT)
        check(read(tmp_path, "a.srt", scripts.srt(scripts.roll_up(lines, 3, rng))), lines)
        check(read(tmp_path, "a.ttml", scripts.ttml(scripts.roll_up(lines, 4, rng), rng)), lines)
