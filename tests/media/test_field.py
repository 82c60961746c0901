"""What broadcasts deliver, case by case, each made by its own lines of ffmpeg and flite.

Seen through commands and the public API alone, so that any build can be asked; smaller instances of each kind
are in the tests of the room it belongs to.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from svlm_cli import LiveOptions, SvlmError, open_source
from svlm_cli.cli import run
from tests.data.whisper import tiny_whisper

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("flite")), reason="no ffmpeg or flite"),
]
V = "-c:v libx264 -preset veryfast -g 25 -bf 0 -pix_fmt yuv420p"
SPOKEN = ["the", "goalkeeper", "makes", "a", "great", "save"]
A = f"-f lavfi -i testsrc2=s=320x180:r=25:d=12 -i s.wav -af adelay=1000,apad -t 12 {V} -c:a aac a.ts"
TWO = (
    "-f lavfi -i testsrc2=s=320x180:r=25:d=12 -f lavfi -i anoisesrc=c=pink:a=0.05:d=12 -i s.wav "
    f'-filter_complex "[2:a]adelay=1000,apad[c]" -map 0:v -map 1:a -map [c] -t 12 {V} -c:a aac '
    "-metadata:s:a:0 language=zxx -metadata:s:a:1 language=eng "
    "-disposition:a:0 0 -disposition:a:1 default two.mkv"
)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ffmpeg(line: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *shlex.split(line)], check=True)


def say() -> None:
    subprocess.run(
        ["flite", "-voice", "slt", "-t", "The goalkeeper makes a great save.", "-o", "s.wav"], check=True
    )


def a_ts() -> None:
    say()
    ffmpeg(A)


def cat(target: str, *parts: str) -> None:
    Path(target).write_bytes(b"".join(Path(part).read_bytes() for part in parts))


def num_steps(path: str, start: float = 0.0) -> int:
    with open_source(path) as source:
        return len(list(source.clips(1, 1.0, start)))


def manifest() -> list[dict]:
    return [json.loads(line) for line in Path("m/videos.jsonl").read_text().splitlines()]


def words(*sources: str, options: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """What fetch and align make of files: words and the seconds in which they begin."""
    assert run(["fetch", *sources, "--out", "m"]) == 0
    whisper = ["--whisper-model", tiny_whisper(), "--device", "cpu"]
    assert run(["align", "m", *(options or whisper)]) == 0
    found = []
    for path in sorted(Path("m/transcripts").glob("*.json")):
        for word in json.loads(path.read_text())["words"]:
            found.append((word["text"].strip(".,!").lower(), int(word["start_seconds"])))
    return found


def test_1_pictures_alone_of_matroska_with_b_frames(made: Path) -> None:
    ffmpeg(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=40 -f lavfi -i sine=d=40 "
        "-c:v libx264 -pix_fmt yuv420p -c:a aac x.mkv"
    )
    assert run(["fetch", "x.mkv", "--no-audio", "--out", "m"]) == 0
    (video,) = manifest()
    assert video["duration_seconds"] == 40.0
    with open_source("x.mkv") as whole, open_source(f"m/{video['path']}") as alone:
        for one, other in zip(whole.clips(1, 1.0), alone.clips(1, 1.0), strict=True):
            assert (one.frames == other.frames).all()


class Folder(http.server.SimpleHTTPRequestHandler):
    log: list[str]

    def do_GET(self) -> None:
        self.log.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served() -> Iterator[tuple[str, list[str]]]:
    from tests.media.live_servers import HttpServer

    log: list[str] = []
    server = HttpServer(functools.partial(type("Own", (Folder,), {"log": log}), directory="."))
    try:
        yield f"http://127.0.0.1:{server.port}", log
    finally:
        server.stop()


def test_3_one_variant_of_a_master_playlist(made: Path) -> None:
    lines = ["#EXTM3U"]
    for number, size in enumerate(("320x180", "640x360", "1280x720")):
        ffmpeg(
            f"-f lavfi -i testsrc2=s={size}:r=25:d=8 {V} -f hls -hls_time 2 -hls_list_size 0 v{number}.m3u8"
        )
        lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={1000 + number},RESOLUTION={size}", f"v{number}.m3u8"]
    Path("master.m3u8").write_text("\n".join(lines) + "\n")
    for height, name in ((720, "v2"), (400, "v1"), (100, "v0")):
        with served() as (address, log):
            with open_source(f"{address}/master.m3u8", live=LiveOptions(max_height=height)) as source:
                assert len(list(source.clips(1, 1.0, duration_seconds=4.0))) == 4
            assert {each.rpartition("/")[2][:2] for each in log if each.endswith(".ts")} == {name}


def test_4_two_recordings_joined(made: Path) -> None:
    a_ts()
    cat("reset.ts", "a.ts", "a.ts")
    assert num_steps("reset.ts") == 24
    assert num_steps("reset.ts", 15.0) == 9
    found = words("reset.ts")
    assert manifest()[0]["duration_seconds"] == 24.0
    assert [word for word, _ in found] == 2 * SPOKEN
    assert {second - 12 for _, second in found[6:]} == {second for _, second in found[:6]} == {1, 2}


def test_5_a_clock_that_leaps_an_hour(made: Path) -> None:
    a_ts()
    ffmpeg("-i a.ts -c copy -output_ts_offset 3600 b.ts")
    cat("fwd.ts", "a.ts", "b.ts")
    assert num_steps("fwd.ts") == 24
    with open_source("fwd.ts") as source:
        assert len(list(source.clips(1, 1.0))) == 24
        assert any("+3588 s at 12.0 s" in problem for problem in source.problems)
    assert [word for word, _ in words("fwd.ts")] == 2 * SPOKEN


@pytest.mark.parametrize("second", ["-ac 6", "-ac 2 -ar 44100", "-ac 1 -ar 32000"])
def test_6_layout_or_rate_changes_in_one_track(made: Path, second: str) -> None:
    a_ts()
    ffmpeg("-i a.ts -c:v copy -c:a ac3 -ac 2 -ar 48000 c.ts")
    ffmpeg(f"-i a.ts -c:v copy -c:a ac3 {second} -output_ts_offset 12 d.ts")
    cat("two.ts", "c.ts", "d.ts")
    found = words("two.ts")
    assert len(found) == 12
    assert len(set(SPOKEN) & {word for word, at in found if at < 12}) >= 4
    assert len(set(SPOKEN) & {word for word, at in found if at >= 12}) >= 4


def test_7_the_default_track_and_not_the_first(made: Path) -> None:
    say()
    ffmpeg(TWO)
    assert [word for word, _ in words("two.mkv")] == SPOKEN


def test_8_the_second_track_where_no_decoder_knows_the_first(made: Path) -> None:
    say()
    ffmpeg(TWO)
    Path("two.mkv").write_bytes(Path("two.mkv").read_bytes().replace(b"A_AAC", b"A_XYZ", 1))
    assert [word for word, _ in words("two.mkv")] == SPOKEN


def test_9_a_channel_that_is_inverted(made: Path) -> None:
    a_ts()
    ffmpeg('-i a.ts -filter:a "pan=stereo|c0=c0|c1=-1*c0" -c:v copy -c:a pcm_s16le phase.mkv')
    assert len(set(SPOKEN) & {word for word, _ in words("phase.mkv")}) >= 4


def captioned(name: str, content: str) -> list[tuple[str, int]]:
    ffmpeg("-f lavfi -i testsrc2=s=64x36:r=5:d=12 v.mp4")
    Path(name).write_text(content)
    return words("v.mp4", options=("--transcript-from", name, "--clean", "off"))


def test_10_captions_that_roll_up(made: Path) -> None:
    lines = ["the keeper saves it and", "the corner is taken short", "to the far post", "and it is a goal"]
    codes = ["Scenarist_SCC V1.0\n"]
    for number, line in enumerate([*lines, "end"]):
        text = line + " " * (len(line) % 2)
        pairs = [
            "".join(
                f"{ord(letter) | (0 if ord(letter).bit_count() % 2 else 0x80):02x}"
                for letter in text[at : at + 2]
            )
            for at in range(0, len(text), 2)
        ]
        codes.append(f"00:00:{1 + 2 * number:02d}:00\t9426 9426 94ad 94ad 9470 9470 {' '.join(pairs)}\n")
    Path("x.scc").write_text("\n".join(codes))
    ffmpeg("-i x.scc x.srt")
    found = captioned("x.srt", Path("x.srt").read_text())
    assert [word for word, _ in found] == " ".join(lines).split()


@pytest.mark.parametrize(
    "document",
    [
        '{"words":[{"word":"saves","start":3.0,"end":3.4}],'
        '"segments":[{"start":1.0,"end":9.0,"text":" The keeper saves."}]}',
        '{"words":[{"word":"saves","start":3.0,"end":3.4}]}',
    ],
)
def test_11_words_at_the_top(made: Path, document: str) -> None:
    assert captioned("o.json", document)[-1] == ("saves", 3)


def test_12_a_cue_that_stays(made: Path) -> None:
    line = " the<00:00:01.200><c> keeper</c><00:00:01.560><c> saves</c><00:00:01.900><c> it</c>"
    captioned("y.vtt", f"WEBVTT\n\n00:00:01.000 --> 00:00:06.470\n{line}\n")
    (transcript,) = Path("m/transcripts").glob("*.json")
    assert json.loads(transcript.read_text())["seconds"] == ["", "the keeper saves", "it"]


def test_13_first_packets_that_do_not_decode(made: Path) -> None:
    a_ts()
    ffmpeg("-i a.ts -c copy -bsf:a aac_adtstoasc late.mp4")
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pos,size",
        "-of",
        "csv=p=0",
    ]
    listed = subprocess.run([*probe, "late.mp4"], capture_output=True, check=True, text=True).stdout
    data = bytearray(Path("late.mp4").read_bytes())
    for line in listed.splitlines()[:25]:
        size, position = (int(each) for each in line.split(",")[:2])
        data[position : position + size] = b"\xff" * size
    Path("late.mp4").write_bytes(data)
    assert num_steps("late.mp4") == 11
    found = words("late.mp4")
    assert len(found) == 6
    assert sum(word == said for (word, _), said in zip(found, SPOKEN, strict=True)) >= 5
    assert {second for _, second in found} == {0, 1}


def test_14_a_folder_of_other_suffixes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ts()
    Path("folder").mkdir()
    for name in ("a.MTS", "b.m2ts"):
        ffmpeg(f"-i a.ts -t 2 -c copy folder/{name}")
    ffmpeg("-i a.ts -t 2 -c:v mpeg2video -c:a pcm_s16le -ar 48000 folder/c.mxf")
    ffmpeg("-i a.ts -t 2 -c:v wmv2 -c:a wmav2 folder/d.wmv")
    Path("folder/e.txt").write_text("score")
    assert run(["fetch", "folder", "--out", "m"]) == 0
    assert sorted(video["title"] for video in manifest()) == ["a", "b", "c", "d"]
    assert "e.txt" in capsys.readouterr().err


def test_15_captions_by_another_name(made: Path) -> None:
    ffmpeg("-f lavfi -i testsrc2=s=64x36:r=5:d=12 v.mp4")
    body = '<body><p begin="1s" end="2s">goal</p></body>'
    Path("v.eng.ttml").write_text(f'<tt xmlns="http://www.w3.org/2006/10/ttaf1">{body}</tt>')
    assert run(["fetch", "v.mp4", "--subtitles", "--out", "m"]) == 0
    assert words("v.mp4", options=("--transcript-from", "captions")) == [("goal", 1)]


def test_16_a_server_without_ranges(made: Path) -> None:
    ffmpeg(f"-f lavfi -i nullsrc=s=320x180:r=25:d=8,geq=random(1)*255:128:128 {V} late.mp4")
    with served() as (address, log):
        with pytest.raises(SvlmError) as caught:
            list(open_source(f"{address}/late.mp4").clips(1, 1.0))
        assert len(log) <= 3
    assert "faststart" in caught.value.hint


def first(path: str) -> np.ndarray:
    with open_source(path) as source:
        return next(source.clips(1, 1.0)).frames[0].astype(int)


def test_17_fields(made: Path) -> None:
    ffmpeg(
        "-f lavfi -i testsrc2=s=1920x1080:r=50:d=2 -vf tinterlace=interleave_top,setfield=tff "
        "-c:v libx264 -preset ultrafast -flags +ildct+ilme -x264opts tff=1 -r 25 i.ts"
    )
    ffmpeg("-f lavfi -i testsrc2=s=1920x1080:r=25:d=1 -c:v libx264 -preset ultrafast p.ts")

    def combing(shown: np.ndarray) -> float:
        rows = shown.mean(axis=2)
        return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())

    assert combing(first("i.ts")) < 1.3 * combing(first("p.ts"))


@pytest.mark.parametrize(
    ("stored", "pixel", "shown"),
    [("720x576", "64/45", (576, 1024)), ("1440x1080", "4/3", (1080, 1920)), ("720x480", "8/9", (480, 640))],
)
def test_18_display_shape(made: Path, stored: str, pixel: str, shown: tuple[int, int]) -> None:
    ffmpeg(f"-f lavfi -i testsrc2=s={stored}:r=5:d=1 -vf setsar={pixel} -c:v libx264 -preset ultrafast w.mp4")
    assert first("w.mp4").shape[:2] == shown


def test_19_hlg(made: Path) -> None:
    tags = "-color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc"
    ffmpeg(
        '-f lavfi -i "color=s=640x360:r=5:d=1,format=yuv420p10le,geq=lum=64+876*0.75:cb=512:cr=512" '
        f"-c:v libx265 -preset ultrafast -x265-params log-level=none {tags} hlg.mp4"
    )
    assert first("hlg.mp4").min() >= 250


def test_20_hd_without_colour_tags(made: Path) -> None:
    source = '-f lavfi -i "color=c=0x1ea03c:s=1280x720:r=5:d=1,scale=out_color_matrix=bt709,format=yuv420p"'
    ffmpeg(f"{source} -c:v libx264 -preset ultrafast -qp 1 hd.mp4")
    assert np.abs(first("hd.mp4")[100, 100] - (30, 160, 60)).max() <= 5
