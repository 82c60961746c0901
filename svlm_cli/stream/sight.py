"""What comes before language: frames resized to the model's size, then through the vision tower.

Both halves know nothing of the context, so that the next clip can be prepared while the present one is
spoken about (``stream/pipeline.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.device import to_device
from svlm_cli.model.patches import Patches, PatchSettings, fit_frames, to_patches
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import VideoFeatures
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.stillness import Stillness
from svlm_cli.types import Clip, SourceTime

MOST_PIXELS = 1 << 20  # values of one call for several clips: beyond, on a CPU, nothing is gained


@dataclass(frozen=True, slots=True, eq=False)
class SizedClip:
    """A clip at the model's size.

    Args:
        index, start_seconds, end_seconds, num_frames: as in ``Clip``.
        pixels: uint8, shape (num_frames, 3, height, width).
        read_seconds: reading and resizing.
        source_time: as in ``Clip``.
    """

    index: int
    start_seconds: float
    end_seconds: float
    num_frames: int
    pixels: torch.Tensor
    read_seconds: float
    source_time: SourceTime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SeenClip:
    """A clip as the language model reads it; its pixels are gone.

    Args:
        index, start_seconds, end_seconds, num_frames: as in ``Clip``.
        video: its features.
        read_seconds: reading and resizing.
        vision_seconds: normalising, cutting into patches and the vision tower.
        source_time: as in ``Clip``.
    """

    index: int
    start_seconds: float
    end_seconds: float
    num_frames: int
    video: VideoFeatures
    read_seconds: float
    vision_seconds: float
    source_time: SourceTime | None = None


class Sight:
    """Prepares clips for one stream; each method may run in a thread of its own.

    Args:
        model: a loaded checkpoint.
        settings: the settings, which have the pixel limits.
        clock: seconds, for the timings.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        settings: StreamSettings,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._patches = within_limits(model.patches, settings)
        self._clock = clock
        own = self._patches
        self._stillness = (
            None if settings.drop_static is None else Stillness(settings, own.factor, own.temporal_patch_size)
        )
        self._queue = _own_queue(model.device)

    def resize(self, clip: Clip) -> SizedClip:
        """Bring the frames to the model's size.

        Raises:
            SourceError: one side is more than 200 times the other.
        """
        began = self._clock()
        pixels = fit_frames(clip.frames, self._patches)
        seconds = clip.read_seconds + self._clock() - began
        times = clip.index, clip.start_seconds, clip.end_seconds
        return SizedClip(*times, clip.num_frames, pixels, seconds, clip.source_time)

    def _on_own_queue(self) -> AbstractContextManager[object]:
        return nullcontext() if self._queue is None else torch.cuda.stream(self._queue)

    def look(self, clip: SizedClip) -> SeenClip:
        """Run the vision tower over the frames, once for all of them."""
        began = self._clock()
        with self._on_own_queue():
            video = self._seen(clip, self._model.encode_video(self._cut(clip)))
        if self._queue is not None:
            self._queue.synchronize()
        return _told(clip, video, self._clock() - began)

    def _cut(self, clip: SizedClip) -> Patches:
        pixels = to_device(clip.pixels, self._model.device)  # as bytes: cut and normalised there
        return Patches(*to_patches(pixels, self._patches))

    def _seen(self, clip: SizedClip, video: VideoFeatures) -> VideoFeatures:
        return video if self._stillness is None else video.only(self._stillness.places(clip.pixels))


def look_together(clips: Sequence[tuple[Sight, SizedClip]]) -> list[SeenClip | Exception]:
    """Run the vision tower over the clips of several streams, as many at once as pays.

    Args:
        clips: clips with the sight of each, all of one model; ``vision_seconds`` are shared evenly.

    Returns:
        For each clip how it is seen, or what it ran into.
    """
    done: list[SeenClip | Exception] = []
    for pack in _packs(clips):
        try:
            done += _looked(pack)
        except Exception as error:
            done += [error] if len(pack) == 1 else [each for one in pack for each in look_together([one])]
    return done


def _packs(clips: Sequence[tuple[Sight, SizedClip]]) -> Iterator[list[tuple[Sight, SizedClip]]]:
    pack: list[tuple[Sight, SizedClip]] = []
    num_pixels = 0
    for sight, clip in clips:
        pixels = clip.pixels.numel()
        if pack and num_pixels + pixels > MOST_PIXELS:
            yield pack
            pack, num_pixels = [], 0
        pack.append((sight, clip))
        num_pixels += pixels
    if pack:
        yield pack


def _looked(pack: list[tuple[Sight, SizedClip]]) -> list[SeenClip]:
    first = pack[0][0]
    if len(pack) == 1:
        return [first.look(pack[0][1])]
    began = first._clock()
    with torch.inference_mode():
        videos = first._model.encode_videos([sight._cut(clip) for sight, clip in pack])
        seen = [sight._seen(clip, video) for (sight, clip), video in zip(pack, videos, strict=True)]
    seconds = (first._clock() - began) / len(pack)
    return [_told(clip, video, seconds) for (_, clip), video in zip(pack, seen, strict=True)]


def _told(clip: SizedClip, video: VideoFeatures, vision_seconds: float) -> SeenClip:
    times = clip.index, clip.start_seconds, clip.end_seconds
    return SeenClip(*times, clip.num_frames, video, clip.read_seconds, vision_seconds, clip.source_time)


def _own_queue(device: torch.device) -> torch.cuda.Stream | None:
    """A CUDA stream of the tower's own, so that words do not queue behind the next clip; None on the CPU.

    What it makes is complete when ``look`` returns, and is last read by a prefill that is over before the
    words behind it are drawn: no other stream touches its memory while it is written anew.
    """
    if device.type != "cuda":
        return None
    queue = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    queue.wait_stream(torch.cuda.current_stream(device))  # the weights are there
    return queue


def within_limits(own: PatchSettings, settings: StreamSettings) -> PatchSettings:
    """The checkpoint's patch settings with the user's pixel limits, if any.

    Raises:
        UsageError: limits for a model whose frames have one size.
    """
    if own.square is not None and (settings.min_pixels or settings.max_pixels):
        raise UsageError(
            f"this model reads every frame as {own.square.side} x {own.square.side} pixels",
            "leave --min-pixels and --max-pixels out",
        )
    return replace(
        own,
        min_pixels=settings.min_pixels or min(own.min_pixels, settings.max_pixels or own.min_pixels),
        max_pixels=settings.max_pixels or max(own.max_pixels, settings.min_pixels or own.max_pixels),
    )
