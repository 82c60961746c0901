"""Files that look like broadcasts: a server tells neither how long one is nor sends parts of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

_AHEAD_SECONDS = 2.0


@dataclass(slots=True)
class SentAgain:
    """Tells a file that is sent from its beginning at each connection from a broadcast that was lost.

    A broadcast comes as time goes by, and never begins again with the very picture that it began with.

    Args:
        first: what came first of all: its stamp in seconds and a digest of its bytes.
        begun: the stamp of the first packet of a connection, and the wall time at which it came, in seconds.
        newest: the same of the last one.
    """

    first: tuple[float, bytes] | None = None
    begun: tuple[float, float] = field(default=(0.0, 0.0))
    newest: tuple[float, float] = field(default=(0.0, 0.0))

    def begins(self, stamp_seconds: float, data: bytes, arrived_seconds: float) -> bool:
        """Note the first packet of a connection; whether what ended before it was a file.

        Args:
            stamp_seconds: its decoding time by its own clock.
            data: its bytes.
            arrived_seconds: wall time.
        """
        came = stamp_seconds, blake2b(data, digest_size=16).digest()
        is_same = came == self.first
        length = self.newest[0] - self.begun[0]
        ahead = length - (self.newest[1] - self.begun[1])
        self.first = self.first or came
        self.begun = self.newest = stamp_seconds, arrived_seconds
        return is_same and ahead > min(_AHEAD_SECONDS, length / 2)

    def goes_on(self, stamp_seconds: float, arrived_seconds: float) -> None:
        """Note another packet of a connection."""
        self.newest = stamp_seconds, arrived_seconds
