"""What comes before language: frames resized to the model's size, then through the vision tower.

Both halves know nothing of the context, so that the next clip can be prepared while the present one is
spoken about (``stream/pipeline.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from svlm_cli.model.device import to_device
from svlm_cli.model.patches import Patches, PatchSettings, fit_frames, to_patches
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import VideoFeatures
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.stillness import Stillness
from svlm_cli.types import Clip


@dataclass(frozen=True, slots=True, eq=False)
class SizedClip:
    """A clip at the model's size.

    Args:
        index, start_seconds, end_seconds, num_frames: as in ``Clip``.
        pixels: uint8, shape (num_frames, 3, height, width).
        read_seconds: reading and resizing.
    """

    index: int
    start_seconds: float
    end_seconds: float
    num_frames: int
    pixels: torch.Tensor
    read_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class SeenClip:
    """A clip as the language model reads it; its pixels are gone.

    Args:
        index, start_seconds, end_seconds, num_frames: as in ``Clip``.
        video: its features.
        read_seconds: reading and resizing.
        vision_seconds: normalising, cutting into patches and the vision tower.
    """

    index: int
    start_seconds: float
    end_seconds: float
    num_frames: int
    video: VideoFeatures
    read_seconds: float
    vision_seconds: float


class Sight:
    """Prepares clips for one stream; each method may run in a thread of its own.

    Args:
        model: a loaded checkpoint.
        settings: for the pixel limits.
        clock: seconds, for the timings.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        settings: StreamSettings,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._patches = patch_settings(model.patches, settings)
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
        return SizedClip(clip.index, clip.start_seconds, clip.end_seconds, clip.num_frames, pixels, seconds)

    def _on_own_queue(self) -> AbstractContextManager[object]:
        return nullcontext() if self._queue is None else torch.cuda.stream(self._queue)

    def look(self, clip: SizedClip) -> SeenClip:
        """Run the vision tower over the frames, once for all of them."""
        began = self._clock()
        with self._on_own_queue():
            pixels = to_device(clip.pixels, self._model.device)  # as bytes: cut and normalised there
            video = self._model.encode_video(Patches(*to_patches(pixels, self._patches)))
            if self._stillness is not None:
                places = self._stillness.places(clip.pixels)
                video = video.only(places)
        if self._queue is not None:
            self._queue.synchronize()
        return SeenClip(
            clip.index,
            clip.start_seconds,
            clip.end_seconds,
            clip.num_frames,
            video,
            clip.read_seconds,
            self._clock() - began,
        )


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


def patch_settings(own: PatchSettings, settings: StreamSettings) -> PatchSettings:
    """The checkpoint's patch settings with the user's pixel limits, if any."""
    return replace(
        own,
        min_pixels=settings.min_pixels or min(own.min_pixels, settings.max_pixels or own.min_pixels),
        max_pixels=settings.max_pixels or max(own.max_pixels, settings.min_pixels or own.max_pixels),
    )
