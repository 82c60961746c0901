"""Small broadcasts with known truth: pictures that carry numbers, bursts of a tone at known seconds."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np

from tests.media.numbered import number_of, picture

FPS = 10
RATE = 16_000
SIZE = (64, 32)
_MUXER = {"muxdelay": "0", "muxpreload": "0", "flush_packets": "0"}
FRAGMENTS = ".fragments.mp4"
_OWN_CLOCK = {
    ".ts": {"mpegts_copyts": "1"},
    FRAGMENTS: {"movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont"},
}


@dataclass(frozen=True)
class Part:
    """One recording of a joined one; seconds count from its own beginning.

    Args:
        first: number of its first picture.
        clock: its first stamp.
        shown: when pictures are there, None for never.
        heard: when sound is there, None for never.
        bursts: when the tone begins, each for a fifth of a second.
        hole: a stretch in which nothing was recorded.
    """

    first: int
    clock: float
    shown: tuple[float, float] | None
    heard: tuple[float, float] | None
    bursts: tuple[float, ...] = ()
    hole: tuple[float, float] = (0.0, 0.0)

    @property
    def seconds(self) -> float:
        return max(end for _, end in filter(None, (self.shown, self.heard)))

    @property
    def begins(self) -> float:
        return min(start for start, _ in filter(None, (self.shown, self.heard)))


def in_hole(part: Part, seconds: float) -> bool:
    return part.hole[0] <= seconds < part.hole[1]


def write_part(path: Path, part: Part, *, sound_codec: str = "mp2") -> Path:
    """A transport stream (or what the suffix says) of one part."""
    with av.open(str(path), "w", options=_OWN_CLOCK.get("".join(path.suffixes), {})) as container:
        video = sound = None
        if part.shown is not None:
            video = container.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
            video.codec_context.time_base = Fraction(1, FPS)
            video.options = {"g": "5", "bf": "2", "preset": "ultrafast", "crf": "12"}
        if part.heard is not None:
            sound = container.add_stream(sound_codec, rate=RATE, layout="mono")
        pictures = [] if part.shown is None else _pictures(part)
        sounds = [] if part.heard is None else _sounds(part)
        for _, frame in sorted([*pictures, *sounds], key=lambda each: each[0]):
            container.mux((video if isinstance(frame, av.VideoFrame) else sound).encode(frame))
        for stream in filter(None, (video, sound)):
            container.mux(stream.encode(None))
    return path


def num_pictures(part: Part) -> int:
    """How many pictures a part has."""
    begin, end = part.shown or (0.0, 0.0)
    return sum(not in_hole(part, begin + number / FPS) for number in range(round((end - begin) * FPS)))


def _pictures(part: Part) -> list[tuple[float, av.VideoFrame]]:
    made = []
    begin, end = part.shown or (0.0, 0.0)
    for number in range(round((end - begin) * FPS)):
        at = begin + number / FPS
        if not in_hole(part, at):
            frame = av.VideoFrame.from_ndarray(picture((part.first + number) % 256, *SIZE), format="rgb24")
            frame.pts, frame.time_base = round((part.clock + at) * FPS), Fraction(1, FPS)
            made.append((at, frame))
    return made


def _sounds(part: Part) -> list[tuple[float, av.AudioFrame]]:
    begin, end = part.heard or (0.0, 0.0)
    wave = np.zeros(round(end * RATE), np.int16)
    tone = (12_000 * np.sin(2 * np.pi * 440 * np.arange(RATE // 5) / RATE)).astype(np.int16)
    for at in part.bursts:
        wave[round(at * RATE) : round(at * RATE) + len(tone)] = tone
    made = []
    for number in range(round((end - begin) * FPS)):
        at = begin + number / FPS
        if in_hole(part, at):
            continue
        first = round(at * RATE)
        frame = av.AudioFrame.from_ndarray(
            wave[None, first : first + RATE // FPS], format="s16", layout="mono"
        )
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = round((part.clock + at) * RATE)
        made.append((at, frame))
    return made


def joined(parts: Sequence[Part], folder: Path, suffix: str = ".ts", *, has_indices: bool = True) -> Path:
    """The parts behind each other in one file, byte by byte; of fragments, one index may do for all."""
    whole = folder / f"whole{suffix}"
    with whole.open("wb") as file:
        for number, part in enumerate(parts):
            content = write_part(folder / f"part{number}{suffix}", part).read_bytes()
            begin = content.index(b"moof") - 4 if number and not has_indices else 0
            file.write(content[begin:])
    return whole


def random_program(dice: Random) -> list[Part]:
    """Parts whose clocks start again, leap or go on; tracks are late, short, missing, or have a hole."""
    parts: list[Part] = []
    clock = dice.choice((1.0, 10.0, 95_000.0))
    for number in range(dice.randrange(2, 5)):
        seconds = dice.randrange(25, 60) / FPS
        shown: tuple[float, float] | None = (0.0, seconds)
        heard: tuple[float, float] | None = (0.0, seconds)
        bursts = tuple(at for at in (0.5, seconds - 0.7))
        hole = (0.0, 0.0)
        match dice.choice(
            ("plain", "plain", "late sound", "late pictures", "short sound", "short pictures", "mute", "hole")
        ):
            case "late sound":
                heard, bursts = (dice.choice((0.6, 1.0, 1.5)), seconds), (seconds - 0.7,)
            case "late pictures" if number:
                shown = (dice.choice((0.6, 1.0, 1.5)), seconds)
            case "short sound":
                heard, bursts = (0.0, seconds - 1.0), (0.5,)
            case "short pictures":
                shown = (0.0, seconds - dice.choice((0.6, 1.0)))
            case "mute" if number:
                heard, bursts = None, ()
            case "hole":
                hole, bursts = (1.0, 1.8), (0.5, seconds - 0.5)
        parts.append(Part(40 * number, clock, shown, heard, bursts, hole))
        clock = dice.choice(
            (1.0, clock, clock + seconds, clock + seconds + 20, clock + 3600, clock + seconds + 7200)
        )
    return parts


@dataclass(frozen=True)
class Truth:
    """What ffmpeg's concat filter makes of parts; seconds count from the first picture.

    Args:
        pictures: when each is shown, and its number.
        bursts: when each begins.
    """

    pictures: list[tuple[float, int]]
    bursts: list[float]


def concat_filter(parts: Sequence[Part], folder: Path, suffix: str = ".ts") -> Truth:
    """Let ffmpeg join the parts that ``joined`` has written; what a part lacks is silence."""
    command = ["ffmpeg", "-v", "error", "-y"]
    graph, inputs = [], ""
    for number, part in enumerate(parts):
        command += ["-i", str(folder / f"part{number}{suffix}")]
        if part.heard is None:
            graph.append(f"aevalsrc=0:d=0.01:s={RATE}[mute{number}]")
        inputs += f"[{number}:v]" + (f"[{number}:a]" if part.heard else f"[mute{number}]")
    graph.append(f"{inputs}concat=n={len(parts)}:v=1:a=1[v][a]")
    whole = folder / "concat.nut"
    command += ["-filter_complex", ";".join(graph), "-map", "[v]", "-map", "[a]", "-fps_mode", "passthrough"]
    subprocess.run([*command, "-c:v", "ffv1", "-c:a", "pcm_s16le", str(whole)], check=True)
    pictures, sound = [], np.zeros(0, np.int16)
    with av.open(str(whole)) as container:
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                pictures.append(
                    (float(frame.pts * frame.time_base), number_of(frame.to_ndarray(format="rgb24")))
                )
                continue
            at, samples = round(float(frame.pts * frame.time_base) * RATE), frame.to_ndarray()[0]
            sound = np.concatenate([sound, np.zeros(max(0, at - len(sound)), np.int16), samples])
    origin = pictures[0][0]
    return Truth([(at - origin, number) for at, number in pictures], [at - origin for at in bursts_of(sound)])


def bursts_of(sound: np.ndarray) -> list[float]:
    """When each burst begins, in seconds."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > 4000)
    begins = np.flatnonzero(np.diff(loud, prepend=-RATE) > RATE // 4)
    return [float(loud[begin]) / RATE for begin in begins]
