"""Pictures of a video through PyAV (libav): exact times, any container, damage stepped over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property, partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from svlm_cli.media.behind import recording_behind
from svlm_cli.media.container import DamageError, Fruitless, OpenVideo, decoded
from svlm_cli.media.file.colours import StatedColours
from svlm_cli.media.file.convert import Orientation, RgbConverter
from svlm_cli.media.file.damage import Damage
from svlm_cli.media.file.fields import FieldOrder
from svlm_cli.media.packets import OneClock
from svlm_cli.media.probe import (
    describe,
    is_image,
    open_container,
    states_picture_length,
    still,
    undecodable,
)
from svlm_cli.media.source import VideoInfo
from svlm_cli.media.survey import indexed_may_leap, is_whole, length_seconds, survey
from svlm_cli.media.timeline import TIME_TOLERANCE_SECONDS, Clock, Picture
from svlm_cli.settings import VIEWING, Viewing

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_READ_ON_SECONDS = 2.0
_MOST_TRIES = 3
# Pictures without stamps between those with: after a jump libav derives wrong ones.
_WRONG_AFTER_JUMP = frozenset({"mpeg"})

# A frame, or None for data that could not be decoded, and the presentation stamp it came with.
_Decoded = tuple["VideoFrame | None", int | None]


class PyavPictures:
    """The pictures of one video, from any position, decoded once per pass.

    Only one pass lives at a time: ``pictures`` ends the pass before it. Not thread-safe.

    Args:
        path: a local file, or anything else that libav opens.
        viewing: how its pictures are shown.

    Raises:
        SourceError: it cannot be opened or holds no picture that can be decoded.
    """

    def __init__(self, path: str, viewing: Viewing = VIEWING) -> None:
        self._damage = Damage()
        self._path = path
        self._pass = 0
        self._video: OpenVideo | None = open_container(path)
        container_format = self._video.container.format.name
        self._is_avi = container_format == "avi"
        self._tick = self._video.tick
        self._nominal_ticks = round(self._video.nominal_seconds / self._tick)
        self._viewing = viewing
        stated = StatedColours.of(self._video.stream.codec_context)
        self._converter = RgbConverter(viewing, self._video.pixel_aspect, stated)
        clock = Clock(self._tick, self._nominal_ticks)
        self._origin, self._stated_end = 0, math.inf
        self._is_known_regular = self._is_sought = False
        try:
            opening = self._placed(clock, None)
            first = next(opening, None)
            if first is None:
                raise undecodable(path)
            opened = [first, *islice(opening, 1 if is_image(self._video) else 0)]
            if is_image(self._video) and len(opened) < 2:
                raise still(path)
            self._origin = clock.origin or 0
            self.info: VideoInfo = describe(
                self._video,
                self._converter.width,
                self._converter.height,
                float(self.origin_seconds),
                self._converter.appearance,
            )
            self._states_length = states_picture_length(self._video)
            if self._video.is_mp4 and self.info.duration_seconds is not None:
                # It says how long a picture is decoded, which of the last one shown may be over a pause.
                self._stated_end = self.info.duration_seconds
            if (begin := self._video.stream.start_time) is not None:
                self._damage.late_seconds = float((self._origin - begin) * self._tick)
        except BaseException:
            self.close()
            raise
        self._can_seek = not clock.counts and container_format not in _WRONG_AFTER_JUMP
        self._opening: Iterator[Picture] | None = chain(opened, opening)

    @property
    def origin_seconds(self) -> Fraction:
        """Second 0 on the container's own clock."""
        return self._origin * self._tick

    @property
    def num_corrupt(self) -> int:
        """Pictures skipped so far; one met in two passes counts twice."""
        return self._damage.num_corrupt

    @cached_property
    def length_seconds(self) -> float | None:
        """How long the pictures last, None where nobody knows; see ``media.survey.length_seconds``.

        Raises:
            SourceError: the file can no longer be read.
        """
        return length_seconds(self._path, float(self.origin_seconds))

    @property
    def has_one_clock(self) -> bool:
        """Whether all stamps read so far are one clock's."""
        return not self._damage.is_joined

    @property
    def problems(self) -> list[str]:
        """Damage met so far, one sentence each."""
        return self._damage.problems(self.info.duration_seconds if self._states_length else None)

    @property
    def orientation(self) -> Orientation:
        """How the first picture had to be turned."""
        return self._converter.orientation

    def pictures(self, from_seconds: float) -> Iterator[Picture]:
        """The pictures in presentation order, from the one on screen at ``from_seconds`` or earlier.

        Raises:
            RuntimeError: the pass is used after another was begun or the video was closed.
            SourceError: the file can no longer be read.
        """
        self._pass += 1
        return self._guarded(self._from(from_seconds), self._pass)

    def close(self) -> None:
        """Close file and decoder."""
        self._pass += 1
        self._opening = None
        if self._video is not None:
            self._video.close()
            self._video = None

    def _guarded(self, pictures: Iterator[Picture], own_pass: int) -> Iterator[Picture]:
        while True:
            if own_pass != self._pass or self._video is None:
                raise RuntimeError("this pass over the video has ended: another was begun, or it was closed")
            picture = next(pictures, None)
            if picture is None:
                return
            yield picture

    def _from(self, seconds: float) -> Iterator[Picture]:
        opening, self._opening = self._opening, None
        if opening is not None and seconds <= _READ_ON_SECONDS:
            yield from opening
            return
        if seconds > 0 and self._can_seek and self._leaps():
            yield from self._past_leaps(seconds)
            return
        # A container seeks by decoding times, or roughly: check where it landed, else go further back.
        back = 0.0
        while back < seconds:
            found = self._sought(seconds - back, seconds)
            first = next(found, None)
            if first is not None:
                yield first
                yield from found
                return
            back = max(1.0, 2 * back)
        self._reopen()
        yield from self._placed(Clock(self._tick, self._nominal_ticks, self._origin), None)

    def _leaps(self) -> bool:
        """Whether the file's clock starts again or leaps somewhere, so that nothing can be sought by it."""
        if self._is_known_regular or self._video is None:
            return False
        leaps = indexed_may_leap(self._video) and not survey(self._path).is_regular
        self._is_known_regular = not leaps
        return leaps

    def _past_leaps(self, seconds: float) -> Iterator[Picture]:
        """As ``_from``, by counting packets, of which only those from the right keyframe on are decoded."""
        origin = float(self.origin_seconds)
        before = [each.number for each in survey(self._path).key_frames_before(origin + seconds)]
        for number in [*before[:_MOST_TRIES], 0]:
            self._reopen()
            clock = Clock(self._tick, self._nominal_ticks, self._origin)
            found = self._placed(clock, seconds if number else None, skipped=number)
            first = next(found, None)
            if first is not None:
                yield first
                yield from found
                return

    def _sought(self, target_seconds: float, by_seconds: float) -> Iterator[Picture]:
        """Pictures after a jump near ``target_seconds``; none if no whole one starts by ``by_seconds``."""
        if self._video is None or not self._can_seek:
            return
        try:
            self._video.seek(self._origin + int(target_seconds / self._tick))
        except DamageError:
            return
        self._is_sought = True
        yield from self._placed(Clock(self._tick, self._nominal_ticks, self._origin), by_seconds)

    def _reopen(self) -> None:
        if self._video is not None:
            self._video.close()
        self._video = open_container(self._path)
        self._is_sought = False

    def _placed(self, clock: Clock, first_by_seconds: float | None, skipped: int = 0) -> Iterator[Picture]:
        """Decode from where the container stands, with a position for each picture.

        Args:
            clock: places them.
            first_by_seconds: see ``_whole``.
            skipped: packets of pictures that are read and not decoded.
        """
        last_good: Picture | None = None
        fields = FieldOrder(self._viewing, self._converter.rgb)
        for frame, start, length in self._whole(clock, fields, first_by_seconds, skipped):
            ready = self._ready(fields, frame, clock, start, length)
            if ready is None:
                self._damage.add_corrupt(start)
                ready = fields.finish()
                last_good = ready[-1] if ready else last_good
                ready += [Picture(start, length, last_good.rgb)] if last_good else []
            for picture in ready:
                last_good = picture
                yield picture
        for picture in fields.finish():
            last_good = picture
            yield picture
        if last_good is not None:
            if self._damage.end_seconds is None and self._video is not None:
                name, number = self._video.container.format.name, self._video.stream.id
                self._damage.behind_byte = recording_behind(self._path, name, number)
                self._damage.is_whole = self._damage.hides_any and is_whole(self._video)
            self._damage.end_seconds = last_good.end_seconds

    def _whole(
        self, clock: Clock, fields: FieldOrder, first_by_seconds: float | None, skipped: int
    ) -> Iterator[tuple[VideoFrame, float, float]]:
        """Frames with their position and length, from the first one that can be shown whole.

        Args:
            clock: places them.
            fields: told of a frame that serves the next one alone.
            first_by_seconds: after a jump: drop what comes before the first keyframe in presentation
                order (its references may be missing), and give up where the first frame to be shown starts
                later than this. None: the container stands at the beginning.
            skipped: packets of pictures that are read and not decoded.
        """
        is_whole = has_begun = first_by_seconds is None
        for frame, stamp in self._decoded(skipped):
            if frame is None:
                if is_whole:
                    self._damage.add_corrupt(clock.now_seconds if stamp is None else clock.seconds(stamp))
                continue
            start, length = clock.place(self._stamp(frame, clock), frame.duration)
            if start < self._stated_end < start + length:
                length = self._stated_end - start
            if not has_begun and first_by_seconds is not None:
                if start > first_by_seconds + TIME_TOLERANCE_SECONDS:
                    return
                if not is_whole:
                    is_whole = frame.key_frame and not frame.is_corrupt
                    if is_whole and fields.is_wanted(frame):
                        # Its own picture would need the frame before it, as it has in sequence.
                        fields.pass_over(frame)
                        continue
                has_begun = is_whole
            if has_begun:
                yield frame, start, length

    def _ready(
        self, fields: FieldOrder, frame: VideoFrame, clock: Clock, start: float, length: float
    ) -> list[Picture] | None:
        """What can be shown now that a frame is there, just placed by the clock; None if it is damaged."""
        if frame.is_corrupt or clock.is_misplaced or not self._converter.fits(frame):
            return None
        if clock.jump_seconds:
            self._damage.add_jump(start, clock.jump_seconds)
        return fields.add(start, length, frame, partial(self._damage.add_corrupt, start))

    def _decoded(self, skipped: int = 0) -> Iterator[_Decoded]:
        """Everything that the decoder gives, in presentation order, up to the end of the file."""
        video = self._video
        if video is None:
            return
        tail = Fruitless()
        for packet in chain(islice(self._packets(video), skipped, None), [None]):
            try:
                # Without a packet the decoder hands out the frames that it still holds.
                frames = decoded(video.stream.codec_context, packet)
            except DamageError:
                tail.add(packet, 0)
                yield None, packet.pts if packet is not None else None
                continue
            if packet is None or not packet.is_discard:
                tail.add(packet, len(frames))
            for frame in frames:
                yield frame, frame.pts
        begin = tail.begin(self._tick)
        self._damage.blind_from_seconds = None if begin is None else begin - float(self.origin_seconds)

    def _packets(self, video: OpenVideo) -> Iterator[Packet[VideoStream]]:
        """The pictures' packets on one clock, without one that the end of the file cuts short."""
        held: Packet[VideoStream] | None = None
        clock = OneClock(video, video.stream)
        joins, index, num_told = clock.joins.joins, video.stream.index, 0
        # Only where the clock goes on is a place sought by it; behind one pictures and sound may lie apart.
        told = self._damage.note_stop
        sought = video.packets_past_damage(video.stream, on_failure=told) if self._is_sought else None
        for packet in sought or clock.packets(on_failure=told):
            if packet.stream_index != index:
                continue
            self._damage.hides_any = self._damage.hides_any or packet.is_discard
            if len(joins) > num_told:
                self._damage.add_joins(joins[num_told:], float(self._origin * self._tick))
                num_told = len(joins)
            if held is not None:
                yield held
            held = packet if packet.is_corrupt else None
            if held is None:
                yield packet
        self._damage.ends_in_frame = held is not None

    def _stamp(self, frame: VideoFrame, clock: Clock) -> int | None:
        """When a frame is presented, in ticks, or None where the file does not say.

        AVI stores no presentation stamps: libav then fills ``pts`` with reordered decoding stamps that
        run back and forth, while ``dts``, which the decoder hands out in display order, is right.
        Elsewhere ``dts`` runs ahead by the decoder's delay: it only serves to start the clock.
        """
        if self._is_avi or (frame.pts is None and not clock.is_started):
            return frame.dts
        return frame.pts
