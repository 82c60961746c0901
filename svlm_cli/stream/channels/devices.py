"""Channels of several devices: on each a model and its rounds, in a thread of their own."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.channels.channel import Channel, ChannelEvent, ChannelState
from svlm_cli.stream.channels.rounds import Rounds

POLL_SECONDS = 0.05


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True, eq=False)
class _Device:
    """A device at work."""

    where: torch.device
    rounds: Rounds
    thread: threading.Thread | None = None
    goes_on: queue.SimpleQueue[bool] = field(default_factory=queue.SimpleQueue)


class Spread:
    """The channels of several models; has the methods of ``Rounds``.

    A channel goes where it has most free memory to itself once it is there, and stays there.

    Args:
        models: models of the same checkpoint, one for each device.
        stop, stays: as ``Rounds`` has them.
        free: tells the free bytes of a device.
    """

    def __init__(
        self,
        models: Sequence[VideoLanguageModel],
        stop: threading.Event | None = None,
        *,
        stays: bool | Callable[[], bool] = False,
        free: Callable[[torch.device], int] = free_bytes,
    ) -> None:
        self._stop = stop or threading.Event()
        self._all_end = threading.Event()
        self._stays = stays if callable(stays) else lambda: stays
        self._free = free
        self._lock = threading.Lock()
        self._is_over = False
        self._devices = [_Device(model.device, Rounds(model, self._all_end, stays=True)) for model in models]
        self._told: queue.SimpleQueue[tuple[_Device, ChannelEvent | None, BaseException | None]]
        self._told = queue.SimpleQueue()

    def __len__(self) -> int:
        return sum(len(each.rounds) for each in self._devices)

    def add(self, channel: Channel) -> None:
        """As ``Rounds.add``."""
        with self._lock:
            if self._is_over:
                raise UsageError("the channels have ended", "start svlm stream again")
            if any(channel.name in each.rounds.names() for each in self._devices):
                raise UsageError(f"a channel {channel.name} runs already", "give it another name")
            roomy = max(self._devices, key=lambda each: self._free(each.where) / (1 + len(each.rounds)))
            roomy.rounds.add(channel)

    def remove(self, name: str) -> None:
        """As ``Rounds.remove``."""
        for each in self._devices:
            if name in each.rounds.names() or name in {state.name for state in each.rounds.states()}:
                each.rounds.remove(name)
                return
        raise UsageError(f"there is no channel {name}")

    def names(self) -> list[str]:
        """Those that run or are to begin."""
        return [name for each in self._devices for name in each.rounds.names()]

    def states(self) -> list[ChannelState]:
        """As ``Rounds.states``."""
        return [state for each in self._devices for state in each.rounds.states()]

    def events(self) -> Generator[ChannelEvent, None, None]:
        """As ``Rounds.events``; a device goes on behind an event when it has been taken here."""
        for each in self._devices:
            each.thread = threading.Thread(target=self._run, args=(each,), name=f"svlm-{each.where}")
            each.thread.start()
        num_left = len(self._devices)
        try:
            while num_left:
                try:
                    device, event, error = self._told.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    self._end_where_over()
                    continue
                if event is None:
                    num_left -= 1
                    if error is not None:
                        raise error
                    continue
                yield event
                device.goes_on.put(True)
                self._end_where_over()
        finally:
            with self._lock:
                self._is_over = True
            self._all_end.set()
            for each in self._devices:
                each.goes_on.put(False)
                if each.thread is not None:
                    each.thread.join()

    def _end_where_over(self) -> None:
        with self._lock:
            if self._stop.is_set() or not (self._stays() or len(self)):
                self._is_over = True
                self._all_end.set()

    def _run(self, device: _Device) -> None:
        error = None
        try:
            with closing(device.rounds.events()) as events:
                for event in events:
                    self._told.put((device, event, None))
                    if not device.goes_on.get():
                        break
        except BaseException as failure:
            error = failure
        self._told.put((device, None, error))
