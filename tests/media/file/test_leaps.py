"""A clock that leaps within what one encoder wrote: pictures of both sides are mixed in the file's order."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import av
import numpy as np
import pytest

from svlm_cli.media.audio import listen
from svlm_cli.media.behind import fragments_begin, outer_boxes
from svlm_cli.media.clock.joins import Joins
from svlm_cli.media.clock.reordered import Reordered
from svlm_cli.media.clock.timed import Timed
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.file.remux import copy_tracks
from svlm_cli.media.packets import _shown
from tests.media.numbered import number_of, picture, write_video
from tests.media.programs import FRAGMENTS, Part, bursts_of, joined, write_part

FPS, RATE, SIZE = 10, 16_000, (64, 32)
TICK = Fraction(1, FPS)
CODECS = {"libx264": {"preset": "ultrafast", "crf": "12"}, "mpeg4": {"qscale": "2"}}
OTHER_CODECS = {"libx265": {"preset": "ultrafast", "x265-params": "log-level=none"}}
SOUNDS = {".mkv": "libopus", ".mp4": "aac", ".mov": "aac", ".ts": "mp2"}
STILL_SECONDS = 600
BURSTS = (-12, 10)  # pictures from the leap


@dataclass(frozen=True)
class Made:
    """A recording of ``number`` pictures, with ``leap`` seconds between two of them, before ``at``."""

    codec: str
    suffix: str
    reordered: int
    group: int
    number: int
    at: int
    leap: int
    has_sound: bool

    @property
    def is_still(self) -> bool:
        """Pictures alone, where no broadcast wrote them."""
        return not self.has_sound and self.suffix != ".ts" and self.leap < STILL_SECONDS

    def stamp(self, number: int) -> float:
        return number / FPS + (self.leap if number >= self.at else 0)

    def shown(self, number: int) -> float:
        return self.stamp(number) if self.is_still else number / FPS


def random_recording(dice: Random, codecs: dict[str, dict[str, str]] = CODECS) -> Made:
    number = dice.randrange(90, 130)
    return Made(
        codec=dice.choice(list(codecs)),
        suffix=dice.choice(list(SOUNDS)),
        reordered=dice.choice((0, 1, 2, 3)),
        group=dice.choice((5, 12, 100, 250)),
        number=number,
        at=dice.randrange(30, number - 30),
        leap=dice.choice((11, 12, 25, dice.randrange(13, 590), dice.randrange(700, 4000))),
        has_sound=dice.random() < 0.7,
    )


def write(path: Path, made: Made) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream(made.codec, rate=FPS)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        video.options = {
            **{**CODECS, **OTHER_CODECS}[made.codec],
            "g": str(made.group),
            "bf": str(made.reordered),
        }
        if made.codec == "libx265":
            video.options["x265-params"] += f":bframes={made.reordered}:keyint={made.group}"
        items = [(made.stamp(number), _picture(made, number)) for number in range(made.number)]
        sound = None
        if made.has_sound:
            sound = container.add_stream(SOUNDS[path.suffix], rate=RATE, layout="mono")
            items += [(made.stamp(number), _sound(made, number)) for number in range(made.number)]
        for _, frame in sorted(items, key=lambda each: each[0]):
            container.mux((video if isinstance(frame, av.VideoFrame) else sound).encode(frame))
        for stream in filter(None, (video, sound)):
            container.mux(stream.encode(None))
    return path


def _picture(made: Made, number: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture(number, *SIZE), format="rgb24")
    frame.pts, frame.time_base = round(made.stamp(number) * 1000), Fraction(1, 1000)
    return frame


def _sound(made: Made, number: int) -> av.AudioFrame:
    loud = 12_000 * np.sin(2 * np.pi * 1000 * np.arange(RATE // FPS) / RATE)
    is_loud = number - made.at in (*BURSTS, *(each + 1 for each in BURSTS))
    samples = (loud if is_loud else np.zeros(RATE // FPS)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
    frame.pts = round(made.stamp(number) * RATE)
    return frame


def decoded(path: Path) -> tuple[list[int], list[float]]:
    """By libav alone: the numbers of its pictures, and their times."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        times = [float(frame.pts * frame.time_base) for frame in frames]
        return [number_of(frame.to_ndarray(format="rgb24")) for frame in frames], [
            each - times[0] for each in times
        ]


def check(folder: Path, made: Made) -> None:
    path = write(folder / f"a{made.suffix}", made)
    if decoded(path)[0] != list(range(made.number)):
        assert made.codec == "mpeg4", made  # libav's own loses B-frames over some leaps
        return
    pictures = PyavPictures(str(path))
    found = [(each.start_seconds, number_of(each.rgb())) for each in pictures.pictures(0.0)]
    problems, length = pictures.problems, pictures.length_seconds
    pictures.close()
    assert [number for _, number in found] == list(range(made.number)), made
    assert [at for at, _ in found] == pytest.approx(
        [made.shown(each) for each in range(made.number)], abs=2e-3
    )
    assert length == pytest.approx(made.shown(made.number - 1) + 1 / FPS, abs=0.03), made
    leaps = [] if made.is_still else [f"jumps by {made.leap:+d} s at {made.at / FPS:.1f} s"]
    assert len(problems) == len(leaps), (made, problems)
    assert all(leap in problem for leap, problem in zip(leaps, problems, strict=True)), (made, problems)
    if made.has_sound:
        bursts = [made.shown(made.at + each) for each in BURSTS]
        assert bursts_of(listen(str(path)).samples) == pytest.approx(bursts, abs=0.15), made
    asked = [made.shown(number) for number in range(made.number - 3, 0, -17)]
    with open_video(path) as video:
        assert [number_of(each) for each in video.frames_at([each + 0.03 for each in asked])] == list(
            range(made.number - 3, 0, -17)
        ), made
    copy_tracks(path, folder / f"copy{made.suffix}")
    numbers, times = decoded(folder / f"copy{made.suffix}")
    assert numbers == list(range(made.number)), made
    assert times == pytest.approx([made.shown(each) for each in range(made.number)], abs=2e-3), made


def test_a_leap_within_an_encoder(tmp_path: Path) -> None:
    dice = Random(25)
    for _ in range(8):
        check(tmp_path, random_recording(dice))


def test_a_leap_before_the_last_pictures(tmp_path: Path) -> None:
    """Where the file ends before decoding times have leapt."""
    dice = Random(29)
    for behind in (1, 2, 3, 4):
        made = random_recording(dice, {"libx264": {}})
        made = replace(made, at=made.number - behind, reordered=3, has_sound=True)
        pictures = PyavPictures(str(write(tmp_path / f"a{made.suffix}", made)))
        found = [(each.start_seconds, number_of(each.rgb())) for each in pictures.pictures(0.0)]
        assert found == [(pytest.approx(each / FPS, abs=2e-3), each) for each in range(made.number)], made
        asked = [made.number - 1, made.number - 3]
        with open_video(tmp_path / f"a{made.suffix}") as video:
            assert [number_of(each) for each in video.frames_at([(n + 0.5) / FPS for n in asked])] == asked
        pictures.close()


def test_a_still_before_the_last_pictures_counts(tmp_path: Path) -> None:
    """Pictures alone, of which the index of an MP4 tells when they are decoded alone."""
    for behind in (1, 2, 3):
        made = random_recording(Random(behind), {"libx264": {}})
        made = replace(made, suffix=".mp4", leap=25, at=made.number - behind, reordered=3, has_sound=False)
        pictures = PyavPictures(str(write(tmp_path / "a.mp4", made)))
        *_, last = pictures.pictures(0.0)
        assert last.start_seconds == pytest.approx(made.shown(made.number - 1), abs=2e-3)
        assert pictures.length_seconds == pytest.approx(made.shown(made.number - 1) + 1 / FPS, abs=0.03), made
        pictures.close()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_slides_of_an_encoder_that_reorders_are_no_leaps(tmp_path: Path, suffix: str) -> None:
    dice = Random(27)
    for reordered in range(4):
        ticks = [30 * number + dice.randrange(20) for number in range(24)]
        options = {"bf": str(reordered), "preset": "ultrafast", "b_strategy": "0"}
        path = write_video(tmp_path / f"a{suffix}", ticks, Fraction(1), options=options, rate=1)
        pictures = PyavPictures(str(path))
        found = [(each.start_seconds, number_of(each.rgb())) for each in pictures.pictures(0.0)]
        assert found == [(pytest.approx(at - ticks[0], abs=2e-3), number) for number, at in enumerate(ticks)]
        assert not any("clock" in each for each in pictures.problems)
        pictures.close()


def test_one_wrong_presentation_stamp_is_damage() -> None:
    dice = Random(28)
    for _ in range(50):
        items = [
            Timed(None, 0, number / FPS, (number + 1) / FPS, 1 / FPS, number % 25 == 0)
            for number in range(120)
        ]
        wrong = dice.randrange(10, 110)
        items[wrong] = items[wrong]._replace(start=dice.uniform(30, 1e5))
        joins = Joins([0], 0)
        order = Reordered(joins, 0)
        found = [each for item in [*items, None] for each in order.put(item)]
        shifts = [(None, None) if number == wrong else (0.0, 0.0) for number in range(len(items))]
        assert [(of_decoding, shift) for _, of_decoding, shift in found] == shifts
        assert [timed for timed, *_ in found] == items
        assert joins.joins == []
        assert joins.end(0) == pytest.approx(121 / FPS)


def test_slides_beside_sound_are_where_they_are() -> None:
    """One picture every 5 to 20 s, up to 16 of them predicted from a later one; sound goes on meanwhile."""
    dice = Random(29)
    for _ in range(50):
        pace, delay, number = dice.uniform(5, 20), dice.randrange(1, 17), 40
        shown = list(range(number))
        for at in range(1, number - delay, delay + 1):  # the last of a group is decoded first
            shown[at : at + delay + 1] = [shown[at + delay], *shown[at : at + delay]]
        slides = [Timed(None, 0, pace * (k - 1), pace * each, pace, k == 0) for k, each in enumerate(shown)]
        sound = [Timed(None, 1, 0.5 * k, 0.5 * k, 0.5) for k in range(int(2 * pace * number))]
        items = sorted([*slides, *sound], key=lambda each: each.stamp)
        joins = Joins([0, 1], 0)
        order = Reordered(joins, 0)
        found = [each for item in [*items, None] for each in order.put(item)]
        for track in (0, 1):
            of_track = [(timed.start, shift) for timed, _, shift in found if timed.track == track]
            assert of_track == [(item.start, 0.0) for item in items if item.track == track]
        assert joins.joins == []


@pytest.mark.slow
def test_many_leaps_within_encoders(tmp_path: Path) -> None:
    dice = Random(26)
    for _ in range(150):
        check(tmp_path, random_recording(dice, {**CODECS, **OTHER_CODECS}))


def test_fragments_that_begin_again_are_shown_and_heard(tmp_path: Path) -> None:
    """As advertisements of HLS are kept, with an index each or one for all; libav hides the first of each."""
    for seed in range(6):
        dice = Random(f"fragments {seed}")
        parts, clock, first = [], dice.choice((0.0, 7.0, 500.0)), 0
        for _ in range(dice.randrange(2, 5)):
            seconds = dice.randrange(25, 60) / FPS
            parts.append(Part(first, clock, (0.0, seconds), (0.0, seconds), (0.3, seconds - 0.5)))
            first += round(seconds * FPS)
            clock = max(0.0, clock - dice.choice((0.0, 4.0)))
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = str(joined(parts, folder, FRAGMENTS, has_indices=seed % 2 == 0))
        pictures = PyavPictures(path)
        shown = [(each.start_seconds, number_of(each.rgb())) for each in pictures.pictures(0.0)]
        assert [number for _, number in shown] == [number % 256 for number in range(first)], parts
        assert [at for at, _ in shown] == pytest.approx([number / FPS for number in range(first)], abs=0.2)
        assert pictures.problems == []
        assert pictures.length_seconds == pytest.approx(first / FPS, abs=0.1), parts
        pictures.close()
        dice.shuffle(places := [*range(first)])
        with open_video(path) as reader:  # each jump goes by what the file's own index says
            numbers = [number_of(reader.frames_at([(place + 0.5) / FPS])[0]) for place in places[:8]]
        assert numbers == [place % 256 for place in places[:8]], parts
        said = [part.first / FPS + at for part in parts for at in part.bursts]
        assert bursts_of(listen(path).samples) == pytest.approx(said, abs=0.3), parts
        copy_tracks(Path(path), folder / "copy.mp4")
        with open_video(folder / "copy.mp4") as reader:
            every = [number_of(each) for each in reader.frames_at([(n + 0.5) / FPS for n in range(first)])]
        assert every == [number % 256 for number in range(first)], parts


def test_an_index_sent_again_begins_no_recording(tmp_path: Path) -> None:
    """As segments of HLS are kept with their initialisation, before and behind an advertisement."""
    for num_fragments in (1, 3, 6):
        sent = []
        for number, seconds in enumerate((num_fragments / 2, 3.0)):
            part = Part(40 * number, 0.0, (0.0, seconds), (0.0, seconds))
            index, *fragments = _fragments(write_part(tmp_path / f"{number}{FRAGMENTS}", part))
            sent.append(b"".join(index + each for each in fragments))
        path = tmp_path / f"{num_fragments}{FRAGMENTS}"
        path.write_bytes(b"".join(sent))
        first = len(sent[0])
        assert [begin // first for begin in fragments_begin(path)] == [1], num_fragments
    with open_video(path) as reader:
        shown = [number_of(each) for each in reader.frames_at([(n + 0.5) / FPS for n in range(60)])]
        assert (shown, reader.problems) == ([*range(30), *range(40, 70)], [])


def test_a_copy_of_a_packet_is_libavs_own(tmp_path: Path) -> None:
    """One of bytes that Python holds stops a decoder with threads for ever, where it is closed meanwhile."""
    noise = np.random.default_rng(5).integers(0, 256, (480, 640, 3), np.uint8)
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
        container.mux(stream.encode(frame) + stream.encode(None))
    with av.open(str(tmp_path / "v.mkv")) as container:
        packet = next(each for each in container.demux() if each.size)
        tracemalloc.start()
        copy = _shown(packet)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert bytes(copy) == bytes(packet)
        assert (copy.pts, copy.dts, copy.is_discard) == (packet.pts, packet.dts, False)
    assert held < packet.size / 2


def _fragments(file: Path) -> list[bytes]:
    """What is before the fragments of an MP4, and each of these, without what is behind them."""
    boxes, content = [*outer_boxes(file)], file.read_bytes()
    begins = [begin for kind, begin, _ in boxes if kind in {b"moof", b"mfra"}]
    return [content[begin:end] for begin, end in pairwise([0, *begins])]
