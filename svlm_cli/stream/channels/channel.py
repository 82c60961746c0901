"""A channel as a value: what is asked for, what is told of it, how it stands. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from svlm_cli.stream.controls import Controls

if TYPE_CHECKING:
    from svlm_cli.media.source import Source
    from svlm_cli.settings import StreamSettings
    from svlm_cli.stream.trace import TraceRecord
    from svlm_cli.types import StreamEvent


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One of several streams.

    Args:
        name: told with its events.
        source: what ``open_source`` gave.
        settings, trace, controls: as ``stream_video`` has them; ``controls.overlap`` is taken for granted.
        release: called once, behind its ``EndEvent``, when nothing reads the source any more, in a thread
            that holds nobody up: closes the source and whatever else is the channel's alone.
    """

    name: str
    source: Source
    settings: StreamSettings
    trace: Callable[[TraceRecord], None] | None = None
    controls: Controls = field(default_factory=Controls)
    release: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """An event of one channel.

    Args:
        channel: its name.
        event: as of a stream alone.
        error: what ended the channel, with its ``EndEvent``; None where it ended well.
    """

    channel: str
    event: StreamEvent
    error: Exception | None = None


class Condition(StrEnum):
    """How a channel stands."""

    WAITING = "waiting"  # for its first step
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


OVER = (Condition.ENDED, Condition.FAILED)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel stands, for whoever lists them.

    Args:
        name: the name of the channel.
        source: as its user named it, without a password.
        condition: how it stands.
        steps: taken.
        reached_seconds: end of its last step.
        lag_seconds: the lag of its last step.
        skipped_seconds: left out in all.
        error: what it ended by, empty where all is well.
    """

    name: str
    source: str
    condition: Condition
    steps: int = 0
    reached_seconds: float = 0.0
    lag_seconds: float = 0.0
    skipped_seconds: float = 0.0
    error: str = ""


class Desk(Protocol):
    """Where channels are listed, added and removed while others run; every method from any thread."""

    def states(self) -> Sequence[ChannelState]:
        """Those that run, and the last that have ended."""
        ...

    def add(self, entry: Mapping[str, object]) -> str:
        """Open a channel, an entry as in a file of channels; it begins with the next round.

        Returns:
            Its name.

        Raises:
            SvlmError: it cannot be opened; nothing has changed.
        """
        ...

    def remove(self, name: str) -> None:
        """End a channel, with its ``end`` event, its outputs and its state whole; forget one that has ended.

        Raises:
            UsageError: there is none of this name.
        """
        ...
