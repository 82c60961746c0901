"""Sound as broadcasts deliver it: several tracks, clocks that start again or leap, channels that cancel."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.data.fetch.folder import fetch_all
from svlm_cli.data.words.align import align_folder
from svlm_cli.data.words.aligner import Aligned, AlignOptions, AlignOutcome
from svlm_cli.data.words.heard import Heard, sound_notes
from svlm_cli.data.words.hearing import hear
from svlm_cli.data.words.transcribe import Recognition, WhisperOptions
from svlm_cli.data.words.transcript import TimedWord, transcript_path
from svlm_cli.errors import UsageError
from svlm_cli.media.audio import listen
from svlm_cli.media.captions import caption_clock
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.tracks import SoundChoice
from tests.data.whisper import tiny_whisper
from tests.media.numbered import overwrite_packets

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("flite")), reason="ffmpeg and flite are not installed"
)
V = ["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "0", "-pix_fmt", "yuv420p"]
SPOKEN = ["the", "goalkeeper", "makes", "a", "great", "save"]
PICTURES = "testsrc2=s=64x36:r=25:d=12"


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "s.wav"
    subprocess.run(
        ["flite", "-voice", "slt", "-t", "The goalkeeper makes a great save.", "-o", str(path)], check=True
    )
    return path


def spoken(path: Path, speech: Path, *more: object, sound: str = "aac", channels: int = 1) -> Path:
    """Twelve seconds of pictures; speech begins after one."""
    delayed = ["-af", "adelay=1000:all=1,apad", "-t", 12, *V, "-c:a", sound, "-ac", channels]
    ffmpeg("-f", "lavfi", "-i", PICTURES, "-i", speech, *delayed, *more, path)
    return path


def two_tracks(path: Path, speech: Path, *more: object, crowd: int = 0) -> Path:
    """Track ``crowd`` has the stadium alone, the other one speech."""
    maps = [
        "-map",
        "0:v",
        *(["-map", "1:a", "-map", "[c]"] if crowd == 0 else ["-map", "[c]", "-map", "1:a"]),
    ]
    noise = "anoisesrc=c=pink:a=0.05:d=12:seed=1"
    ffmpeg(
        *("-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", noise, "-i", speech),
        *("-filter_complex", "[2:a]adelay=1000,apad[c]", *maps, "-t", 12, *V, "-c:a", "aac", *more, path),
    )
    return path


def cat(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.fixture(scope="module")
def broadcasts(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Path:
    """The cases, in a folder of the kind that fetch fills."""
    raw = tmp_path_factory.mktemp("raw")
    a = spoken(raw / "plain.ts", speech)
    cat(raw / "reset.ts", a, a)
    ffmpeg("-i", a, "-c", "copy", "-output_ts_offset", 3600, raw / "b.ts")
    cat(raw / "forward.ts", a, raw / "b.ts")
    ffmpeg("-i", raw / "forward.ts", "-c", "copy", raw / "forward.mkv")
    spoken(raw / "c.ts", speech, sound="ac3", channels=2)
    spoken(raw / "d.ts", speech, "-output_ts_offset", 12, sound="ac3", channels=6)
    spoken(raw / "e.ts", speech, "-output_ts_offset", 12, "-ar", 44100, sound="ac3")
    cat(raw / "layout.ts", raw / "c.ts", raw / "d.ts")
    cat(raw / "rate.ts", raw / "c.ts", raw / "e.ts")
    named = ["-metadata:s:a:0", "language=zxx", "-metadata:s:a:1", "language=eng", "-disposition:a:0", 0]
    two_tracks(raw / "default.mkv", speech, *named, "-disposition:a:1", "default")
    two_tracks(raw / "language.mkv", speech, *named, "-disposition:a:1", 0)
    two_tracks(raw / "silent.mkv", speech, "-disposition:a:0", "default", "-disposition:a:1", 0)
    two_tracks(raw / "unknown.mkv", speech, "-disposition:a:0", "default", "-disposition:a:1", 0)
    (raw / "unknown.mkv").write_bytes((raw / "unknown.mkv").read_bytes().replace(b"A_AAC", b"A_XYZ", 1))
    for name, left, right in (("right", 1, -1), ("left", -0.6, 1)):
        pan = f"pan=stereo|c0={left}*c0|c1={right}*c0"
        ffmpeg("-i", a, "-filter:a", pan, "-c:v", "copy", "-c:a", "pcm_s16le", raw / f"{name}.mkv")
    spoken(raw / "late.mp4", speech)
    overwrite_packets(raw / "late.mp4", range(25))
    for part in "bcde":
        (raw / f"{part}.ts").unlink()
    folder = tmp_path_factory.mktemp("matches")
    results = list(fetch_all([str(path) for path in sorted(raw.iterdir())], folder))
    assert not [result.problem for result in results if result.problem]
    return folder


@pytest.fixture(scope="module")
def aligned(broadcasts: Path) -> dict[str, Aligned]:
    options = AlignOptions(WhisperOptions(tiny_whisper(), device="cpu"))
    return {result.video.title: result for result in align_folder(broadcasts, options)}


def words_of(result: Aligned) -> list[tuple[str, int]]:
    """Each word and the second in which it begins."""
    assert result.outcome is AlignOutcome.ALIGNED
    assert result.transcript is not None
    return [(word.text.strip(".,!").lower(), int(word.start_seconds)) for word in result.transcript.words]


@pytest.mark.parametrize(
    "name", ["plain", "reset", "forward", "layout", "rate", "default", "language", "unknown"]
)
def test_every_word_at_its_second(aligned: dict[str, Aligned], name: str) -> None:
    found = words_of(aligned[name])
    halves = 2 if name in ("reset", "forward", "layout", "rate") else 1
    assert [word for word, _ in found] == SPOKEN * halves
    for half in range(halves):
        seconds = [second - 12 * half for _, second in found[6 * half : 6 * half + 6]]
        assert seconds[0] in (0, 1)
        assert seconds[-1] in (2, 3)


@pytest.mark.parametrize("name", ["left", "right"])
def test_an_inverted_channel_is_left_out_and_told(
    aligned: dict[str, Aligned], broadcasts: Path, name: str
) -> None:
    """The sound is that of one channel; tiny.en hears two words of it now so, now otherwise."""
    alone = listen(str(broadcasts / aligned["plain"].video.path)).samples
    heard = listen(str(broadcasts / aligned[name].video.path)).samples
    assert np.abs(heard[: len(alone)].astype(int) - alone[: len(heard)]).max() < 4
    assert len(set(SPOKEN) & {word for word, _ in words_of(aligned[name])}) >= 4
    assert aligned[name].transcript.sound["cancelled_seconds"] > 1
    assert any("its channels cancel each other" in note for note in aligned[name].notes)


def test_words_are_on_the_clock_of_the_first_picture_that_decodes(
    aligned: dict[str, Aligned], broadcasts: Path
) -> None:
    assert [second for _, second in words_of(aligned["late"])] == [0, 0, 0, 1, 1, 1]
    with open_video(broadcasts / aligned["late"].video.path) as reader:
        assert len(list(reader.clips(2, 1.0))) == 11
        assert any("no picture of the first 1.0 s decodes" in problem for problem in reader.problems)
        assert not any("ends early" in problem for problem in reader.problems)


def test_what_was_chosen_and_what_else_there_was_is_told(
    aligned: dict[str, Aligned], broadcasts: Path
) -> None:
    assert [note.partition(";")[0] for note in aligned["default"].notes] == [
        "listened to track 2 (eng, aac, 1 channels, default), the default"
    ]
    assert ", by --language; there is also track 1 (zxx" in aligned["language"].notes[0]
    assert "there is also track 1 (no language, no decoder for it" in aligned["unknown"].notes[0]
    (chosen, nothing) = aligned["silent"].notes
    assert [word for word, _ in words_of(aligned["silent"])] == SPOKEN
    assert "listened to track 2 (no language, aac, 1 channels), the first with words; there is also" in chosen
    assert nothing == "no words were heard in track 1 (no language, aac, 1 channels, default)"
    assert aligned["plain"].notes == ()
    path = transcript_path(broadcasts, aligned["default"].video.id)
    sound = json.loads(path.read_text())["sound"]
    assert (sound["track"], sound["chosen_by"], len(sound["others"])) == (2, "default", 1)


@pytest.mark.parametrize("name", ["reset", "forward"])
def test_lengths_are_those_of_packets_and_a_leap_is_told(
    aligned: dict[str, Aligned], broadcasts: Path, name: str
) -> None:
    assert aligned[name].video.duration_seconds == 24.0
    with open_video(broadcasts / aligned[name].video.path) as reader:
        assert len(list(reader.clips(2, 1.0))) == 24
        assert next(reader.clips(2, 1.0, 15.0)).start_seconds == 15.0
        told = [problem for problem in reader.problems if "clock jumps by +3588 s at 12.0 s" in problem]
    assert len(told) == (name == "forward")
    assert len([note for note in aligned[name].notes if "leaps by 3588 s" in note]) == (name == "forward")


@pytest.mark.parametrize(
    ("asked", "tracks", "silent", "heard", "told"),
    [
        (
            "auto",
            ["eng", "eng", "eng"],
            {1, 2},
            3,
            "no words were heard in track 1 (eng, pcm_s16le, 1 channels,",
        ),
        ("1", ["eng", "eng"], {1}, 1, "1 channels, default); try another with --audio-track N"),
        ("auto", ["eng", "deu", "eng"], {1, 3}, 1, "try another with --audio-track N"),
        (
            "auto",
            ["deu", "", "eng"],
            set(),
            3,
            "not in the language asked for: track 1 (deu, pcm_s16le, 1 channels,",
        ),
        ("auto", ["deu", ""], set(), 1, "default); try another with --audio-track N"),
        ("auto", ["eng"], {1}, 1, "no words were heard in track 1 (eng"),
        (
            "auto",
            ["eng", ""],
            {1, 2},
            1,
            "no words were heard in track 1 (eng, pcm_s16le, 1 channels, default), nor",
        ),
    ],
)
def test_where_nobody_speaks_the_next_track_is_heard(
    tmp_path: Path, asked: str, tracks: list[str], silent: set[int], heard: int, told: str
) -> None:
    """Each track has a tone whose loudness is its number."""
    command = [each for number in range(len(tracks)) for each in ("-f", "lavfi", "-i", tone(number + 1))]
    for number, language in enumerate(tracks):
        command += ["-map", number, f"-metadata:s:a:{number}", f"language={language or 'und'}"]
        command += [f"-disposition:a:{number}", 0 if number else "default"]
    ffmpeg(*command, "-c:a", "pcm_s16le", tmp_path / "a.mkv")

    class Listener:
        def recognise(self, sound: np.ndarray, _should_stop: object) -> Recognition:
            number = round(np.abs(sound.astype(int)).max() / 3000)
            word = TimedWord("goal", 0.5, 1.0, 0.9)
            other = ("de", 0.9) if tracks[number - 1] == "deu" else None
            return Recognition([] if other or number in silent else [(word,)], [], 1.0, other)

    found = hear(tmp_path / "a.mkv", SoundChoice(asked), Listener, lambda: False)
    num_words = len(found.recognition.utterances)
    assert (found.sound["track"], num_words) == (
        heard,
        int(heard not in silent and tracks[heard - 1] != "deu"),
    )
    assert any(told in note for note in sound_notes(found.sound, num_words))


def test_what_an_earlier_build_heard_in_one_track_alone_is_heard_again() -> None:
    word = TimedWord("goal", 0.5, 1.0, 0.9)
    for words, sound, is_final in (
        ([(word,)], {"others": ["track 2"]}, True),
        ([], {"others": ["track 2"]}, False),
        ([], {"others": ["track 2"], "no_words_in": ["track 1"]}, True),
        ([], {"others": []}, True),
        ([], {}, False),
    ):
        assert Heard(Recognition(words, [], 1.0), sound).is_final is is_final


def tone(number: int) -> str:
    return f"aevalsrc={number * 3000 / 32768:.6f}*sin(2*PI*440*t):d=1:s=16000"


def test_a_track_that_is_asked_for_is_heard(aligned: dict[str, Aligned], broadcasts: Path) -> None:
    path = str(broadcasts / aligned["default"].video.path)
    for track, number in (("1", 1), ("2", 2), ("en", 2), ("eng", 2), ("zxx", 1), ("auto", 2)):
        assert listen(path, SoundChoice(track)).track.number == number
    assert listen(path, SoundChoice(language="de")).track.number == 2  # the default comes first
    for track in ("3", "fr"):
        with pytest.raises(Exception, match=rf"no sound track {track}; there is track 1 \(zxx"):
            listen(path, SoundChoice(track))
    with pytest.raises(UsageError, match="no sound track"):
        SoundChoice("stadium")
    with pytest.raises(Exception, match="no decoder for sound track 1"):
        listen(str(broadcasts / aligned["unknown"].video.path), SoundChoice("1"))


def test_sound_of_another_program_is_not_taken(tmp_path: Path) -> None:
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=3", "-f", "lavfi", "-i", "testsrc2=s=96x54:r=25:d=3"),
        *("-f", "lavfi", "-i", "sine=d=3", "-f", "lavfi", "-i", "sine=d=3", "-map", "0:v", "-map", "2:a"),
        *("-map", "1:v", "-map", "3:a", *V, "-c:a", "aac", "-metadata:s:a:0", "language=deu"),
        *("-metadata:s:a:1", "language=eng", "-program", "program_num=1:st=0:st=1"),
        *("-program", "program_num=2:st=2:st=3", tmp_path / "two.ts"),
    )
    sound = listen(str(tmp_path / "two.ts"))
    assert (sound.track.number, sound.track.language) == (1, "deu")
    assert "of another program" in str(sound.others[0])
    assert listen(str(tmp_path / "two.ts"), SoundChoice("eng")).track.number == 2


def test_captions_count_from_the_beginning_of_the_file(tmp_path: Path, speech: Path) -> None:
    """The pictures begin three seconds after the sound; what is said before the first of them is left out."""
    ffmpeg("-i", spoken(tmp_path / "a.mp4", speech), "-c", "copy", "-t", 9, tmp_path / "b.mp4")
    ffmpeg(
        "-itsoffset",
        3,
        "-i",
        tmp_path / "b.mp4",
        "-i",
        tmp_path / "a.mp4",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        tmp_path / "late.mkv",
    )
    captions = tmp_path / "late.srt"
    captions.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nbefore\n\n2\n00:00:05,500 --> 00:00:06,000\nbehind\n"
    )
    folder = tmp_path / "m"
    list(fetch_all([str(tmp_path / "late.mkv")], folder))
    (found,) = align_folder(folder, AlignOptions(WhisperOptions("none"), transcript_from=str(captions)))
    ((word, second),) = words_of(found)
    assert (word, second) == ("behind", 2)


@pytest.mark.parametrize("counted", [False, True], ids=["leap left out", "leap counted"])
def test_captions_over_a_leap(tmp_path: Path, speech: Path, counted: bool) -> None:
    a = spoken(tmp_path / "a.ts", speech)
    ffmpeg("-i", a, "-c", "copy", "-output_ts_offset", 3600, tmp_path / "b.ts")
    clock = caption_clock(str(cat(tmp_path / "leap.ts", a, tmp_path / "b.ts")))
    last = 3605.0 if counted else 17.0
    assert clock.counts_leaps(last) == counted
    assert clock.on_pictures(last, counts_leaps=counted) == pytest.approx(16.9, abs=0.15)
    assert clock.on_pictures(5.0, counts_leaps=counted) == pytest.approx(4.9, abs=0.15)
