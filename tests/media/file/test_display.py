"""Pictures as a viewer sees them: ffmpeg's deinterlacing, ffprobe's shape, the colours that were drawn."""

from __future__ import annotations

import json
import random
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.live.source import open_live
from svlm_cli.media.source import Appearance
from svlm_cli.settings import VIEWING, Deinterlace, PictureStyle, Reader, Viewing
from tests.media import live_servers as servers
from tests.media.file.test_fields import RAW, ffmpeg, interlaced
from tests.media.numbered import needs_ffmpeg, numbers_of, whole_video, write_video


@needs_ffmpeg
@pytest.mark.parametrize("seed", range(4))
def test_pixels_become_square(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    size = dice.randrange(96, 256, 2), dice.randrange(96, 256, 2)
    aspect = dice.choice(["64/45", "4/3", "16/15", "8/9", "10/11", "32/27", "1/1", "12/11"])
    ending = dice.choice(["mp4", "mkv", "ts", "mov"])
    path = tmp_path / f"v.{ending}"
    options = {"x264-params": f"sar={aspect}", "crf": "10", "bf": "0"}
    write_video(path, range(20), Fraction(1, 20), rate=20, options=options, size=size)
    command = "-v error -select_streams v:0 -show_entries stream=width,height,sample_aspect_ratio -of json"
    probed = subprocess.run(["ffprobe", *command.split(), path], check=True, capture_output=True).stdout
    stream = json.loads(probed)["streams"][0]
    over, under = map(int, stream["sample_aspect_ratio"].split(":"))
    wide = round(stream["width"] * over / under)
    with open_video(path) as reader:
        frames = reader.frames_at([0.0, 0.35, 0.9])
        assert (reader.info.width, reader.info.height) == (wide, size[1])
        assert reader.info.appearance.pixel_aspect == f"{over}:{under}"
    assert frames.shape == (3, size[1], wide, 3)
    assert numbers_of(frames) == [0, 7, 18]
    with open_video(path, viewing=RAW) as reader:
        assert reader.frames_at([0.0]).shape == (1, size[1], size[0], 3)


def test_shape_comes_before_turning(tmp_path: Path) -> None:
    ticks = range(10)
    options = {"x264-params": "sar=2/1"}
    path = write_video(
        tmp_path / "v.mp4", ticks, Fraction(1, 20), options=options, rotation=(90, False, False)
    )
    with open_video(path) as reader:  # stored 48 wide and 128 high, each pixel twice as wide as high
        assert reader.frames_at([0.0]).shape == (1, 96, 128, 3)


def test_an_absurd_shape_is_not_believed(tmp_path: Path) -> None:
    options = {"x264-params": "sar=400/1"}
    path = write_video(tmp_path / "v.mp4", range(10), Fraction(1, 20), options=options)
    with open_video(path) as reader:
        assert reader.frames_at([0.0]).shape == (1, 48, 128, 3)


def coloured(folder: Path, size: tuple[int, int], rgb: tuple[int, int, int], matrix: str, *tags: str) -> Path:
    """Two pictures of one colour, by a matrix, and with the tags that are named."""
    path = folder / "v.mp4"
    colour = f"color=c=0x{bytes(rgb).hex()}:s={size[0]}x{size[1]}:r=4:d=0.5,format=rgb24"
    to_yuv = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"
    # setparams takes away the tags that scale gives.
    untagged = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    coding = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast")
    ffmpeg("-f", "lavfi", "-i", colour, "-vf", f"{to_yuv},{untagged}", *coding, *tags, path)
    return path


@needs_ffmpeg
@pytest.mark.parametrize(
    ("size", "matrix"),
    [
        ((1920, 1080), "bt709"),
        ((1280, 720), "bt709"),
        ((960, 580), "bt709"),
        ((720, 576), "bt601"),
        ((320, 180), "bt601"),
    ],
)
def test_colours_without_tags_go_by_size(tmp_path: Path, size: tuple[int, int], matrix: str) -> None:
    dice = random.Random(str(size))
    drawn = dice.randrange(20, 100), dice.randrange(130, 220), dice.randrange(20, 100)
    path = coloured(tmp_path, size, drawn, matrix)
    with open_video(path) as reader:
        look = reader.info.appearance
        shown = reader.frames_at([0.0])[0]
    assert (look.matrix, look.is_matrix_assumed) == ({"bt709": "BT.709", "bt601": "BT.601"}[matrix], True)
    assert np.abs(shown[::50, ::50].astype(int) - drawn).max() <= 3
    with open_video(path, viewing=RAW) as reader:
        stored = reader.frames_at([0.0])[0]
    assert np.array_equal(shown, stored) == (matrix == "bt601")


@needs_ffmpeg
def test_a_tag_is_believed_before_size(tmp_path: Path) -> None:
    drawn = (30, 160, 60)
    path = coloured(tmp_path, (1280, 720), drawn, "bt601", "-colorspace", "smpte170m")
    with open_video(path) as reader:
        assert reader.info.appearance.is_matrix_assumed is False
        assert np.abs(reader.frames_at([0.0])[0, ::50, ::50].astype(int) - drawn).max() <= 3


@needs_ffmpeg
@pytest.mark.parametrize("matrix", [0, 3, 8, 10, 14, 15])
@pytest.mark.parametrize("viewing", [Viewing(), RAW])
def test_no_matrix_tag_ends_a_stream(tmp_path: Path, matrix: int, viewing: Viewing) -> None:
    plain = write_video(tmp_path / "v.mp4", range(20), Fraction(1, 20), rate=20, options={"crf": "10"})
    tagged = tmp_path / "tagged.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata=matrix_coefficients={matrix}", tagged)
    with open_video(tagged, viewing=viewing) as reader:
        frames = reader.frames_at([0.0, 0.3, 0.95])
        assert reader.problems == []
    assert numbers_of(frames) == [0, 6, 19]
    red = frames[:, -8:].mean(axis=(0, 1, 2))
    assert red == pytest.approx([200, 0, 0], abs=30)


def graded(path: Path, signals: list[float], transfer: int) -> Path:
    """Grey bands, 16 pixels wide, of 10-bit limited range signals from 0 to 1, tagged BT.2020."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=4)
        stream.width, stream.height, stream.pix_fmt = 16 * len(signals), 32, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_trc, context.color_primaries = 9, transfer, 9
        luma = np.repeat(np.round(64 + 876 * np.array(signals)), 16).astype("<u2")
        frame = av.VideoFrame(stream.width, stream.height, "yuv420p10le")
        for plane, row in zip(frame.planes, (luma, np.full(8 * len(signals), 512, "<u2")), strict=False):
            rows = np.zeros((plane.height, plane.line_size // 2), dtype="<u2")
            rows[:, : plane.width] = row[: plane.width]
            plane.update(rows.tobytes())
        frame.planes[2].update(bytes(memoryview(frame.planes[1])))
        frame.colorspace, frame.color_trc, frame.color_primaries = 9, transfer, 9
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, 4)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def bands(path: Path, viewing: Viewing) -> tuple[np.ndarray, Appearance]:
    with open_video(path, viewing=viewing) as reader:
        return reader.frames_at([0.0])[0, 16, 8::16].astype(int), reader.info.appearance


# Where diffuse white lies: BT.2408 has 75 % of HLG, 58 % of PQ (203 cd/m2).
@pytest.mark.parametrize(
    ("transfer", "white", "name"), [(18, 0.75, "HLG"), pytest.param(16, 0.58, "PQ", marks=pytest.mark.slow)]
)
def test_high_dynamic_range_is_brought_to_standard(
    tmp_path: Path, transfer: int, white: float, name: str
) -> None:
    path = graded(tmp_path / "v.mkv", [0.0, white / 3, white * 2 / 3, white, 1.0], transfer)
    shown, look = bands(path, Viewing())
    assert look.tone_mapped == name
    assert shown[0].max() <= 1
    assert shown[3].min() >= 245
    assert np.abs(shown - shown[:, :1]).max() <= 2  # grey stays grey
    assert np.all(np.diff(shown[:4, 0]) > 30)
    stored, look = bands(path, RAW)
    assert look.tone_mapped == ""
    assert stored[3].max() <= round(255 * white) + 2


@needs_ffmpeg
def test_plain_pictures_are_what_they_were(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for viewing in (Viewing(), RAW, Viewing(deinterlace=Deinterlace.OFF)):
        with open_video(path, viewing=viewing) as reader:
            clips = np.concatenate([clip.frames for clip in reader.clips(20, 1.0)])
            assert np.array_equal(clips, np.stack(frames))
            assert reader.info.appearance.changes == []


@needs_ffmpeg
def test_a_broadcast_looks_like_its_recording(tmp_path: Path) -> None:
    path = tmp_path / "v.ts"
    picture = "testsrc2=s=160x120:r=50:d=3,interlace=scan=bff:lowpass=off,setsar=4/3"
    coding = "-c:v mpeg2video -flags +ilme+ildct -q:v 2 -g 12 -bf 0"
    ffmpeg("-f", "lavfi", "-i", picture, *coding.split(), path)
    server = servers.paced_server(path.read_bytes(), 1.0)
    try:
        with open_live(f"http://127.0.0.1:{server.port}/v.ts") as source:
            assert (source.info.width, source.info.height) == (213, 120)
            assert source.info.appearance.is_deinterlaced is None
            clips = list(source.clips(25, 1.0, duration_seconds=2.0))
    finally:
        server.stop()
    with open_video(path) as reader:
        recorded = np.concatenate([clip.frames for clip in reader.clips(25, 1.0)])
    shown = np.concatenate([clip.frames for clip in clips])
    # A broadcast is shown from the newest keyframe on, whose picture has none before it.
    (begin,) = (number for number, each in enumerate(recorded) if np.array_equal(each, shown[1]))
    assert begin >= 1
    assert np.array_equal(shown[1:25], recorded[begin : begin + 24])


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ((18, 9), ("arib-std-b67", "bt2020nc", "bt2020")),
        ((16, 9), ("smpte2084", "bt2020nc", "bt2020")),
        ((1, 1), ("bt709", "bt709", "bt709")),
    ],
)
def test_tags_of_the_container_alone_count(
    tmp_path: Path, suffix: str, tags: tuple[int, int], names: tuple[str, str, str]
) -> None:
    def made(name: str, more: str = "") -> Path:
        options = {"preset": "ultrafast", "x265-params": f"log-level=none{more}"}
        return write_video(
            tmp_path / name,
            range(4),
            Fraction(1, 4),
            codec="libx265",
            options=options,
            pixel_format="yuv420p10le",
        )

    plain = made("plain.mp4")
    tagged = made("tagged.mp4", f":transfer={names[0]}:colormatrix={names[1]}:colorprim={names[2]}")
    claimed = tmp_path / f"claimed{suffix}"
    with av.open(str(plain)) as source, av.open(str(claimed), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        decoder = stream.codec_context
        decoder.color_trc, decoder.colorspace = tags
        decoder.color_primaries = tags[1]  # without which MP4 says nothing
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)

    def seen(path: Path, viewing: Viewing = VIEWING) -> np.ndarray:
        with open_video(path, viewing=viewing) as reader:
            return reader.frames_at([0.6])

    assert np.array_equal(seen(claimed), seen(tagged))
    assert not np.array_equal(seen(claimed), seen(plain))
    assert np.array_equal(seen(claimed, RAW), seen(plain, RAW))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: coloured(folder, (1280, 720), (9, 99, 200), "bt709"), "BT.709"),
        (
            lambda folder: write_video(
                folder / "v.mp4", range(20), Fraction(1, 20), options={"x264-params": "sar=4/3"}
            ),
            "4:3",
        ),
    ],
)
@needs_ffmpeg
def test_decord_is_refused_where_a_viewer_sees_something_else(tmp_path: Path, make, reason: str) -> None:
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    path = make(tmp_path)
    with pytest.raises(SourceError, match=rf"decord cannot show.*{reason}.*--pictures raw"):
        open_video(path, viewing=Viewing(reader=Reader.DECORD))
    with (
        open_video(path, viewing=Viewing(PictureStyle.RAW, reader=Reader.DECORD)) as other,
        open_video(path, viewing=RAW) as one,
    ):
        assert np.array_equal(one.frames_at([0.2]), other.frames_at([0.2]))


@needs_ffmpeg
def test_decord_is_refused_for_fields(tmp_path: Path) -> None:
    """It mixes the colours of the two fields in another way, also where they are shown as they are stored."""
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    path, _ = interlaced(tmp_path, 1, "h264")
    for style in PictureStyle:
        with pytest.raises(SourceError, match=r"decord cannot show.*fields"):
            open_video(path, viewing=Viewing(style, reader=Reader.DECORD))
