"""The channels of one process: each opened with its files, its events passed on, all of it closed again.

Channels may be added and removed from any thread while others run; what opens slowly or closes slowly holds
up nobody but the thread that asked for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from svlm_cli.commands.output import ReaderGone
from svlm_cli.commands.stream.apart import require_apart
from svlm_cli.commands.stream.channel_file import MOST_CHANNELS, ChannelBook, ChannelSpec
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.commands.stream.opened import Attendant, OpenChannel, look_for, never_begun, side_by_side
from svlm_cli.errors import OutputError, SourceError, StateError, SvlmError, TooEarlyError, UsageError
from svlm_cli.stream.channels.channel import OVER, Channel, ChannelEvent, ChannelState
from svlm_cli.stream.pacing import SaveTurns
from svlm_cli.stream.questions import Questions
from svlm_cli.types import WarningEvent

if TYPE_CHECKING:
    from svlm_cli.media.source import Source
    from svlm_cli.stream.channels.devices import Spread
    from svlm_cli.stream.channels.rounds import Rounds

OPENING = "it is being opened"
LEAVE_SECONDS = 60.0
TOO_EARLY = ("the model is still being loaded", "try again in a few seconds")


class Fleet:
    """All channels; a context manager that closes what is left of them. This is the ``Desk``.

    Args:
        book: reads what is asked for.
        view: shows every event.
        attend: called with a channel whose source is open; gives who looks on at it, None for nobody. What is
            to be closed with the channel goes on its stack.

    Attributes:
        rounds: once the model is there; channels are added to it from then on.
    """

    def __init__(
        self,
        book: ChannelBook,
        view: ChannelsView,
        attend: Callable[[OpenChannel], Attendant | None] = lambda _channel: None,
    ) -> None:
        self._book = book
        self._view = view
        self._attend = attend
        self._turns = SaveTurns()
        self._lock = threading.RLock()
        self._open: dict[str, OpenChannel] = {}
        self._listed: set[str] = set()
        self.rounds: Rounds | Spread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in list(self._open.values()):
            each.close()

    def open_all(self, specs: Sequence[ChannelSpec]) -> None:
        """Open channels, several at once; whose source, file or state cannot be opened ends alone.

        One that takes its time, or may come yet where that was asked for, begins later: nobody waits for it.

        Raises:
            Exception: anything else; those that are open stay so until the fleet is closed.
        """
        self._require_apart(specs)
        self._listed = {spec.name for spec in specs}
        self._open = {spec.name: OpenChannel(spec, absence=OPENING) for spec in specs}
        for each in self._open.values():
            each.attendant = self._attend(each)
        wrong: list[Exception] = []
        side_by_side(partial(self._open_beside, wrong=wrong), self._open.values())
        if wrong:
            raise wrong[0]

    @property
    def ready(self) -> list[Channel]:
        """Channels that are open and can begin."""
        return [each.channel for each in self._open.values() if each.channel is not None]

    @property
    def waits(self) -> bool:
        """Whether a source is opened or looked for."""
        return any(each.absence for each in list(self._open.values()))

    @property
    def failed(self) -> dict[str, list[str]]:
        """What went wrong with each channel that did not end well, the last of a name alone."""
        return {name: list(each.failures) for name, each in list(self._open.items()) if each.failures}

    def __len__(self) -> int:
        return len(self._open)

    def questions_of(self, name: str) -> Questions | None:
        """Where a channel that runs is asked."""
        found = self._open.get(name)
        return None if found is None or found.channel is None else found.questions

    def states(self) -> list[ChannelState]:
        """Those that run or ended, and those that could not be opened."""
        known = [] if self.rounds is None else self.rounds.states()
        names = {each.name for each in known}
        return known + [each.state for name, each in list(self._open.items()) if name not in names]

    def add(self, entry: Mapping[str, object]) -> str:
        """Open a channel, an entry as in a file of channels; ``Desk.add``."""
        return self.add_pushed(entry).name

    def add_pushed(
        self, entry: Mapping[str, object], source: Source | None = None, most: int = MOST_CHANNELS
    ) -> ChannelSpec:
        """Open a channel, whose source may be there already; as ``add``, and at ``most`` so many run then."""
        spec = self._book.spec(entry)
        self.add_spec(spec, source, most)
        return spec

    def add_spec(self, spec: ChannelSpec, source: Source | None = None, most: int = MOST_CHANNELS) -> None:
        """Open a channel that begins with the next round.

        Args:
            spec: as it is asked for.
            source: open already; None to open the one of the spec.
            most: channels that may run at once, this one among them.

        Raises:
            SvlmError: it cannot be opened or cannot begin, or as many run as may; nothing has changed.
        """
        if self.rounds is None:
            raise TooEarlyError(*TOO_EARLY)
        with self._lock:
            if (before := self._open.get(spec.name)) is not None and self._runs(before):
                raise UsageError(f"a channel {spec.name} runs already", "give it another name")
            if sum(each.condition not in OVER for each in self.states()) >= most:
                more = "" if most == MOST_CHANNELS else ", or start with --max-channels"
                raise UsageError(f"{most} channels run already", f"remove one first{more}")
            self._require_apart([spec])
            opened = self._open[spec.name] = OpenChannel(spec, source=source, absence=OPENING)
        try:
            self._begin_or_wait(opened)
        except BaseException:
            opened.close()
            with self._lock:
                if self._open.get(spec.name) is opened:
                    del self._open[spec.name]
                    self._open |= {} if before is None else {spec.name: before}
            raise

    def remove(self, name: str) -> None:
        """End a channel, or forget one that has ended; ``Desk.remove``."""
        with self._lock:
            found = self._open.get(name)
            if self.rounds is None or found is None:
                raise UsageError(f"there is no channel {name}", f"there are: {', '.join(self._open)}")
            if self._runs(found) and found.has_begun:
                found.is_leaving = True
                with suppress(UsageError):  # it is about to begin, or has just ended
                    self.rounds.remove(name)
                return
            del self._open[name]
            if found.absence and not found.failures:
                found.is_leaving = True
                found.close()
                self._tell_end(found.spec)
            with suppress(UsageError):  # it was never there, or is forgotten
                self.rounds.remove(name)

    def change_to(self, specs: Sequence[ChannelSpec]) -> str:
        """Make these the channels of the file: others of it end, new ones open, what is the same goes on.

        One that failed is opened again, one that has ended well is not. What was added by ``add`` stays.

        Returns:
            What was done, in words.
        """
        wanted = {spec.name: spec for spec in specs}
        with self._lock:
            require_apart(specs)
            now = dict(self._open)
        known = self._listed | wanted.keys()
        gone = [name for name, each in now.items() if name in known and wanted.get(name) != each.spec]
        self._listed = set(wanted)
        for name in gone:
            with suppress(UsageError):  # it has gone by itself
                self.remove(name)
        for name in gone:
            now[name].is_closed.wait(LEAVE_SECONDS)
        new = [spec for name, spec in wanted.items() if name not in now or name in gone or now[name].failures]
        told: list[str] = []
        side_by_side(lambda spec: told.append(self._added_or_told(spec)), new)
        there = list(told)  # some may still come
        failed, num_opening = [each for each in there if each], len(new) - len(there)
        left = len(gone) - len(set(gone) & wanted.keys())
        done = f"{len(there) - len(failed)} added, {left} removed, {len(wanted) - len(new)} kept"
        return "; ".join([f"{done}, {num_opening} being opened" if num_opening else done, *failed])

    def pass_on(self, told: ChannelEvent) -> None:
        """An event to the files, those who look on and the view; the last one closes the files."""
        self._open[told.channel].pass_on(told, self._view)

    def _let_go(self, channel: OpenChannel) -> None:
        """Finish and close the files of a channel that has ended, beside the others."""
        channel.close()
        channel.failures += channel.not_kept
        if channel.is_leaving and not channel.failures:
            with self._lock:
                if self._open.get(channel.spec.name) is channel:
                    del self._open[channel.spec.name]

    def _runs(self, channel: OpenChannel) -> bool:
        return not channel.is_closed.is_set() and not channel.failures

    def begin(self, rounds: Rounds | Spread) -> None:
        """The model is there: channels that are open begin with the first round.

        Raises:
            UsageError: settings that do not go together.
        """
        with self._lock:
            self.rounds = rounds
        for opened in list(self._open.values()):
            try:
                self._begin_with(opened)
            except StateError as error:
                self._cannot_begin(opened, error)

    def _begin_with(self, opened: OpenChannel) -> None:
        """Add a channel that is open to those that run, where they do; once, and not where it is gone."""
        with self._lock:
            if self.rounds is None or opened.channel is None or opened.has_begun or opened.is_gone:
                return
            opened.has_begun = True
        self.rounds.add(opened.channel)
        if opened.is_leaving:
            with suppress(UsageError):  # that it was removed meanwhile was heard by those that run
                self.rounds.remove(opened.spec.name)

    def run(self) -> None:
        """Pass on all that is told; at the end, channels whose sources are still looked for end as well."""
        assert self.rounds is not None
        with closing(self.rounds.events()) as events:
            for told in events:
                self.pass_on(told)
        with self._lock:
            waiting = [each for each in self._open.values() if each.absence and not each.has_begun]
            for each in waiting:
                each.is_leaving = True
        for each in waiting:
            each.close()
            self._tell_end(each.spec)

    def _open_beside(self, opened: OpenChannel, wrong: list[Exception]) -> None:
        """Open a channel and begin with it; what is no matter of this channel alone is kept in ``wrong``."""
        try:
            self._begin_or_wait(opened)
        except Exception as error:
            if not isinstance(error, SourceError | OutputError | StateError):
                wrong.append(error)
            self._cannot_begin(opened, error)

    def _begin_or_wait(self, opened: OpenChannel) -> None:
        """Open a channel and begin with it, or wait for its source; it may be removed meanwhile."""
        is_there = False
        try:
            is_there = self._filled(opened)
        except Exception:
            if not opened.is_gone:
                raise
        if is_there:
            self._begin_with(opened)
        if opened.is_dropped() or is_there:
            opened.absence = ""
        else:
            self._look_for(opened)

    def _cannot_begin(self, opened: OpenChannel, error: Exception) -> None:
        is_source = isinstance(error, SourceError)
        self._give_up(opened, str(error), "could not be opened" if is_source else "cannot be gone on with")

    def _give_up(self, opened: OpenChannel, why: str, told: str) -> None:
        opened.give_up(why, told)
        self._tell_end(opened.spec, why)
        opened.absence = ""  # last: nobody leaves before all is told

    def _filled(self, opened: OpenChannel) -> bool:
        """Whether a channel is open; else its source may still come, and is to be looked for.

        Raises:
            SvlmError: it cannot be opened.
        """
        try:
            opened.fill(self._attend, self._view, self._turns, self._let_go)
        except SourceError as error:
            if opened.is_gone or not opened.may_come(error):
                raise
            opened.stack.close()
            opened.absence = f"the source is not there yet ({error.message}); waiting for it"
            opened.attendant = self._attend(opened)
            opened.lack_source("is not there yet; waiting for it", is_over=False)
            return False
        return True

    def _look_for(self, opened: OpenChannel) -> None:
        self._view.show(opened.spec.name, WarningEvent(opened.absence, opened.spec.settings.start))
        threading.Thread(target=self._await, args=(opened,), name="svlm-await", daemon=True).start()

    def _tell_end(self, spec: ChannelSpec, why: str = "") -> None:
        """A channel that has never begun ends as others do: with a warning, and its ``end``."""
        with suppress(OutputError, ReaderGone):  # whoever tells the next event is told so
            if why:
                self._view.show(spec.name, WarningEvent(why, spec.settings.start))
            self._view.show(spec.name, never_begun(spec.settings.start))

    def _await(self, opened: OpenChannel) -> None:
        """Begin with a channel once its source is there; in a thread of its own."""

        def take(source: Source) -> None:
            opened.source = source
            opened.fill(self._attend, self._view, self._turns, self._let_go)
            self._begin_with(opened)

        given_up = look_for(opened, take, lambda: self.rounds is not None)
        if not opened.is_dropped() and given_up:
            self._give_up(opened, given_up, "did not come or cannot be shown; it was given up")
        opened.absence = ""

    def _added_or_told(self, spec: ChannelSpec) -> str:
        try:
            self.add_spec(spec)
        except Exception as error:
            self._tell_end(spec, str(error))
            return f"{spec.name}: {error.message if isinstance(error, SvlmError) else error}"
        return ""

    def _require_apart(self, specs: Sequence[ChannelSpec]) -> None:
        names = {spec.name for spec in specs}
        running = [each.spec for name, each in self._open.items() if self._runs(each) and name not in names]
        require_apart([*running, *specs])
