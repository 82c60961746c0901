"""What a reader had to step over, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from svlm_cli.media.behind import told
from svlm_cli.media.clock.timed import Join

_NAMED_POSITIONS = 3
_MISSING_SECONDS = 0.5


@dataclass(slots=True)
class Damage:
    """Running account of one open video.

    Args:
        num_corrupt: pictures that could not be decoded whole; one met in two passes counts twice.
        near_seconds: positions of the first few.
        end_seconds: where the pictures ended, once that was met.
        ends_in_frame: whether the file stops in the middle of a picture's data.
        stopped_by: the error that ended reading, if one did.
        jumps: where the file's clock went on later, and by how many seconds.
        late_seconds: the delay in seconds of the pictures' track, before the first picture that decodes.
        is_joined: whether the file's clock was set or started again somewhere, so that its stamps are not one
            clock's.
        behind_byte: where another recording begins in the file, which is not read.
        blind_from_seconds: the time from which no picture decodes, to the end.
        hides_any: whether an edit list hides pictures.
        is_whole: whether it does and none is missing; libav leaves out the one on screen where it begins.
    """

    num_corrupt: int = 0
    near_seconds: list[float] = field(default_factory=list)
    end_seconds: float | None = None
    ends_in_frame: bool = False
    stopped_by: str = ""
    jumps: dict[float, float] = field(default_factory=dict)
    late_seconds: float = 0.0
    is_joined: bool = False
    behind_byte: int | None = None
    blind_from_seconds: float | None = None
    hides_any: bool = False
    is_whole: bool = False

    def add_corrupt(self, seconds: float) -> None:
        """Count a picture that had to be skipped."""
        self.num_corrupt += 1
        if len(self.near_seconds) < _NAMED_POSITIONS:
            self.near_seconds.append(max(0.0, seconds))

    def add_jump(self, seconds: float, by_seconds: float) -> None:
        """Note where the file's clock jumped ahead; one met in two passes counts once."""
        self.jumps[seconds] = by_seconds
        self.is_joined = True

    def add_joins(self, joins: Sequence[Join], origin_seconds: float) -> None:
        """Note where the file's clock leapt ahead; where it started again, nothing is missing."""
        self.is_joined = self.is_joined or bool(joins)
        for join in joins:
            if join.by_seconds > 0:
                self.add_jump(join.seconds - origin_seconds, join.by_seconds)

    def note_stop(self, reason: str) -> None:
        """Note what ended the reading."""
        self.stopped_by = reason

    def problems(self, stated_seconds: float | None) -> list[str]:
        """One sentence for each kind of damage met so far.

        Args:
            stated_seconds: length that the container states for the pictures, where it can be
                relied on; None otherwise.
        """
        found = []
        if stated_seconds is not None and self.late_seconds > _MISSING_SECONDS:
            found.append(f"no picture of the first {self.late_seconds:.1f} s decodes; the video begins there")
        if self.num_corrupt:
            places = ", ".join(dict.fromkeys(f"{seconds:.1f}" for seconds in self.near_seconds))
            more = ", ..." if self.num_corrupt > len(self.near_seconds) else ""
            were = "frame was" if self.num_corrupt == 1 else "frames were"
            found.append(
                f"{self.num_corrupt} corrupt {were} skipped near {places}{more} s; "
                "the last good picture was shown instead"
            )
        found += [
            f"the file's clock jumps by {by:+.0f} s at {at:.1f} s; the video goes on there without a gap"
            for at, by in list(self.jumps.items())[:_NAMED_POSITIONS]
        ]
        if self.end_seconds is None:
            return found
        if stated_seconds is not None:
            stated_seconds -= sum(self.jumps.values())
        missing = 0.0 if stated_seconds is None or self.is_whole else stated_seconds - self.end_seconds
        if missing > _MISSING_SECONDS:
            found.append(
                f"the file ends early: {self.end_seconds:.1f} of {stated_seconds:.1f} seconds could be read"
            )
        elif self.ends_in_frame:
            found.append(f"the file ends in the middle of a frame, at {self.end_seconds:.1f} s")
        if self.blind_from_seconds is not None:
            found.append(f"no picture decodes from {self.blind_from_seconds:.1f} s on; the file goes on")
        if self.behind_byte is not None:
            found.append(told(self.behind_byte))
        if self.stopped_by:
            found.append(f"reading stopped at {self.end_seconds:.1f} s: {self.stopped_by}")
        return found
