"""The pictures of a stream with its captions drawn on them, and its voice: an MP4 that can be sent.

While it is made it is a fragmented MP4, whole up to the last second or two whenever the process is killed; at
its end it is written anew with its index in front, which is what every player and messenger takes.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svlm_cli.errors import OutputError
from svlm_cli.files import put_aside, sync
from svlm_cli.media.behind import outer_boxes
from svlm_cli.stream.outputs.append import file_target
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.cues import Caption, CueStyle, ReadingCues, SecondCues
from svlm_cli.stream.outputs.going_on import begun_anew
from svlm_cli.stream.outputs.speech import SAMPLE_RATE, Reciter
from svlm_cli.stream.outputs.subtitle import Subtitles
from svlm_cli.stream.outputs.voice import SpokenTrack
from svlm_cli.types import Clip, StepEvent, StreamEvent

if TYPE_CHECKING:
    from av.container import OutputContainer

WAITING_CLIPS = 8
KEY_SECONDS = 1.0
MOST_REWRITTEN_BYTES = 1 << 30
_TICKS = 90_000
_AAC_SAMPLES = 1024


class Film:
    """Pictures, captions and (where a voice is named) sound as MP4, H.264 and AAC.

    The pictures are those that the model is shown, as many a second as it is shown: ``--fps 8`` moves better
    than 2. Seconds that were left out are cut. It cannot be gone on with: after a kill another film begins.

    Args:
        path: the path of the file.
        style: when words become captions.
        voice: as ``Reciter`` has it; None for a silent film.

    Raises:
        OutputError: it cannot be written there, or there is no synthesiser.
        UsageError: the voice is none.
    """

    held = ""

    def __init__(self, path: Path, style: CueStyle = CueStyle.READING, voice: str | None = None) -> None:
        self.path = path
        self._target = file_target(path)
        self.real_path = str(self._target)
        self._cues: ReadingCues | SecondCues = SecondCues() if style is CueStyle.SECOND else ReadingCues()
        self._spoken = None if voice is None else SpokenTrack(Reciter(voice))
        self._waiting: OrderedDict[float, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._fixed: list[Caption] = []
        self._subtitles: Subtitles | None = None
        self._container: OutputContainer | None = None
        self._video: Any = None
        self._audio: Any = None
        self._seconds = 0.0  # of the film
        self._last_tick = -1
        self._ahead = np.zeros(0, np.int16)  # sound that lasts beyond the pictures
        self._num_samples = 0

    def watch(self, clip: Clip) -> None:
        """Keep the pictures of a clip until its words are there; from the reader's thread."""
        with self._lock:
            self._waiting[clip.start_seconds] = clip.frames
            while len(self._waiting) > WAITING_CLIPS:  # it was left out
                self._waiting.popitem(last=False)

    def begin(self, earlier: Earlier | None, *, keeps: bool) -> list[str]:
        """See ``contract.Production``."""
        told = []
        goes_on = earlier is not None and self.real_path in earlier.lengths
        try:
            if (keeps or goes_on) and self._target.is_file() and self._target.stat().st_size:
                aside = put_aside(self._target).name
                why = "a film cannot be gone on with" if goes_on else "it was there already"
                told.append(f"{self.path} begins anew: {why}, and is kept as {aside}")
            elif earlier is not None:
                told.append(begun_anew(self.path, self.real_path, earlier))
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}", "name another file") from error
        if not os.access(self._target.parent, os.W_OK):
            raise OutputError(f"no permission to write {self.path}", "choose another folder")
        return told

    def settle(self, earlier: Earlier, *, keeps: bool) -> tuple[bool, list[str]]:  # noqa: ARG002 - the contract
        """See ``contract.Production``: a film is made of pictures, and none come."""
        size = self._target.stat().st_size if self._target.is_file() else 0
        if not size or self.real_path not in earlier.lengths:
            told = [f"{begun_anew(self.path, self.real_path, earlier)}; there are no pictures for a film"]
            return False, told
        ends = [end for _, _, end in outer_boxes(self._target)]
        if not ends or ends[-1] != size:
            return False, [f"{self.path} is torn, and a film cannot be gone on with: it stays as it is"]
        return False, []

    def write(self, event: StreamEvent) -> list[str]:
        """See ``contract.Production``."""
        if isinstance(event, StepEvent):
            with self._lock:
                frames = self._waiting.pop(event.start_seconds, None)
            if frames is None:
                return []
            self._guarded(self._add, event, frames)
        return []

    def sync(self) -> None:
        """See ``contract.Production``."""
        if self._target.is_file():
            sync(self._target)

    def finish(self) -> None:
        """The film is over: the index goes to its front."""
        if self._container is None:
            return
        self._guarded(self._close)

    def _guarded(self, work: Any, *arguments: Any) -> None:
        """Whatever libav raises becomes an OSError: this output alone ends by it."""
        try:
            work(*arguments)
        except OSError:
            raise
        except Exception as error:
            raise OSError(0, f"the film ends: {type(error).__name__}: {error}") from error

    def _open(self, frames: np.ndarray, fps: float) -> None:
        import av

        height, width = (side - side % 2 for side in frames.shape[1:3])
        flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(str(self._target), "w", format="mp4", options=flags)
        video = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = video.time_base = Fraction(1, _TICKS)
        video.codec_context.gop_size = max(1, round(fps * KEY_SECONDS))
        video.options = {"crf": "23", "preset": "veryfast", "tune": "zerolatency"}
        self._video = video
        if self._spoken is not None:
            self._audio = self._container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        self._subtitles = Subtitles(width, height)

    def _add(self, step: StepEvent, frames: np.ndarray) -> None:
        import av

        lasts = step.end_seconds - step.start_seconds
        if self._container is None:
            self._open(frames, len(frames) / lasts)
        assert self._container is not None
        assert self._subtitles is not None
        self._fixed = [*self._fixed[-2:], *self._cues.add(step)]
        opened = self._cues.open
        captions = [*self._fixed, *([opened] if opened else [])]
        for number, image in enumerate(frames):
            at = step.start_seconds + number * lasts / len(frames)
            shown = next((each for each in captions if each.start_seconds <= at < each.end_seconds), None)
            drawn = self._subtitles.drawn(image, [] if shown is None else shown.lines)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            tick = round((self._seconds + number * lasts / len(frames)) * _TICKS)
            frame.pts = self._last_tick = max(tick, self._last_tick + 1)
            frame.time_base = Fraction(1, _TICKS)
            self._container.mux(self._video.encode(frame))
        if self._spoken is not None:
            self._say(step, lasts)
        self._seconds += lasts

    def _say(self, step: StepEvent, lasts: float) -> None:
        """The sound of a step, silence where nobody speaks; what lasts longer waits for the next one."""
        assert self._spoken is not None
        start, samples = self._spoken.add(step)
        begins = round((start - step.start_seconds) * SAMPLE_RATE)
        length = max(len(self._ahead), begins + len(samples), round(lasts * SAMPLE_RATE))
        track = np.zeros(length, np.int16)
        track[: len(self._ahead)] = self._ahead
        track[begins : begins + len(samples)] = samples
        due = round((self._seconds + lasts) * SAMPLE_RATE) - self._num_samples
        due -= due % _AAC_SAMPLES
        self._ahead = track[due:]
        self._encode(track[:due])

    def _encode(self, samples: np.ndarray) -> None:
        import av

        assert self._container is not None
        for place in range(0, len(samples), _AAC_SAMPLES):
            piece = samples[place : place + _AAC_SAMPLES]
            frame = av.AudioFrame.from_ndarray(piece[np.newaxis].astype(np.float32) / 32768, "fltp", "mono")
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = self._num_samples
            self._num_samples += len(piece)
            self._container.mux(self._audio.encode(frame))

    def _close(self) -> None:
        container, self._container = self._container, None
        assert container is not None
        if self._spoken is not None:
            self._container = container
            self._encode(self._ahead)
            self._container = None
            container.mux(self._audio.encode(None))
        container.mux(self._video.encode(None))
        container.close()
        if self._target.stat().st_size <= MOST_REWRITTEN_BYTES:
            with_index = self._target.with_name(f".{self._target.stem}.{secrets.token_hex(4)}.mp4")
            try:
                _rewrite(self._target, with_index)
                sync(with_index)
                with_index.replace(self._target)
            finally:
                with suppress(OSError):
                    with_index.unlink(missing_ok=True)
        sync(self._target.parent)


def _rewrite(path: Path, to: Path) -> None:
    """Copy an MP4 with its index in front."""
    import av

    with av.open(str(path)) as source, av.open(str(to), "w", options={"movflags": "faststart"}) as target:
        tracks = {each.index: target.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream_index]
                target.mux(packet)
