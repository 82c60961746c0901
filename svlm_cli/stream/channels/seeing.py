"""The clips of all channels go through the vision tower as they come, while others are spoken about."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import torch

from svlm_cli.stream.sight import SeenClip, Sight, SizedClip, look_together

Seen = SeenClip | Exception


class Seer:
    """Runs the tower over the clips of many streams, in a thread of its own, as many at once as have come.

    Args:
        told: called in that thread whenever some have been seen.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._shown: queue.SimpleQueue[tuple[Sight, SizedClip, queue.SimpleQueue[Seen]] | None]
        self._shown = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="svlm-vision", daemon=True)
        self._thread.start()

    def show(self, sight: Sight, clip: SizedClip, seen: queue.SimpleQueue[Seen]) -> None:
        """A clip to be seen; how it is seen, or what that ran into, is put into ``seen``."""
        self._shown.put((sight, clip, seen))

    def close(self) -> None:
        """End the thread once it has seen what it is at."""
        self._shown.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            shown = [self._shown.get()]
            while not self._shown.empty():
                shown.append(self._shown.get())
            if None in shown:
                return
            clips = [each for each in shown if each is not None]
            seen: list[Seen]
            try:
                with torch.inference_mode():
                    seen = look_together([(sight, clip) for sight, clip, _ in clips])
            except BaseException as error:  # of its thread it would be lost, and every channel would wait
                seen = [RuntimeError(f"the vision tower failed: {error}") for _ in clips]
            for (_, _, place), each in zip(clips, seen, strict=True):
                place.put(each)
            self._told()
