"""The page of several channels: what it may add, remove and show."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from svlm_cli.commands.stream.fleet import TOO_EARLY
from svlm_cli.errors import OutputError, StateError, TooEarlyError, UsageError
from svlm_cli.media.address import CAMERA, PUSH, is_live_address, public_name
from svlm_cli.media.pushed import PushedSource
from svlm_cli.media.source import reconnects_of
from svlm_cli.stream.channels.channel import OVER, ChannelState
from svlm_cli.values import decimal

if TYPE_CHECKING:
    from svlm_cli.commands.stream.channel_file import ChannelSpec
    from svlm_cli.commands.stream.fleet import Fleet
    from svlm_cli.commands.stream.opened import OpenChannel
    from svlm_cli.commands.stream.run import Talking
    from svlm_cli.media.source import Source
    from svlm_cli.stream.page.board import Board
    from svlm_cli.stream.page.hub import Hub
    from svlm_cli.stream.page.push import PushStart

# Of an entry of a file of channels: what names no file of this machine and no amount of its work.
ALLOWED = (
    *("source", "name", "title", "query", "previous_text"),
    *("fps", "greedy", "seed", "temperature", "on_lag", "duration"),
)
MOST_LETTERS = 2000
MOST_FPS = 60
PUSHED_CHANNELS = 4
MOST_ENDED = 8  # of those that were pushed, still shown
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class PageDesk:
    """Channels as whoever looks at the page may add and remove them: no files of this machine, not too many.

    Args:
        fleet: the channels.
        board: where they are shown.
        view: told of what whoever looks at the page is not told.
        most: channels that may run at once.
    """

    def __init__(self, fleet: Fleet, board: Board, view: Talking, most: int) -> None:
        self._view = view
        self._fleet = fleet
        self._board = board
        self._most = most

    def states(self) -> Sequence[ChannelState]:
        """Those that run, and the last that have ended."""
        return self._fleet.states()

    def add(self, entry: Mapping[str, object]) -> str:
        """Open a channel; ``Desk.add``."""
        if unknown := [key for key in entry if key not in ALLOWED]:
            raise UsageError(
                f"the channel is wrong: {unknown[0][:40]}: not taken here", f"there are {', '.join(ALLOWED)}"
            )
        source = str(entry.get("source", ""))
        is_stream = source.startswith("arena:") or is_live_address(source)
        if not is_stream or source == "-" or CAMERA.match(source):
            raise UsageError("the source is no address of a stream", "rtsp://..., https://..., arena:soccer")
        for key in ("source", "title", "query", "previous_text"):
            text = str(entry.get(key, ""))
            if len(text) > MOST_LETTERS or text.startswith("@"):
                raise UsageError(f"the channel is wrong: {key}: {MOST_LETTERS} letters at most, no @ first")
        fps = decimal(str(entry.get("fps")))  # quoted ones are taken as well
        if fps is not None and fps > MOST_FPS:
            raise UsageError(f"the channel is wrong: fps: {MOST_FPS} at most")
        if not _NAME.fullmatch(str(entry.get("name") or "a")):
            raise UsageError("the channel is wrong: name: letters, digits, dots and dashes, 64 at most")
        return self.opened(entry).name

    def opened(self, entry: Mapping[str, object], source: Source | None = None) -> ChannelSpec:
        """Open a channel, whose source may be there already; who asks is not told where its files lie.

        Raises:
            SvlmError: it cannot be opened, or as many run as may.
        """
        try:
            return self._fleet.add_pushed(entry, source, self._most)
        except (OutputError, StateError) as error:
            self._view.say(f"warning: a channel was not added: {error}", "yellow")
            raise OutputError("its files cannot be opened", "svlm has said why where it runs") from None

    def remove(self, name: str) -> None:
        """End a channel, or forget one that has ended; ``Desk.remove``."""
        own = [each.condition for each in self.states() if each.name == name]
        has_ended = all(condition in OVER for condition in own)
        self._fleet.remove(name)
        if has_ended:
            self._board.remove(name)


class PushOpener:
    """Makes a channel of what somebody sends; ``page.push.Opener``.

    Args:
        fleet: the channels.
        board: where they are shown.
        desk: opens it where there is room.
    """

    def __init__(self, fleet: Fleet, board: Board, desk: PageDesk) -> None:
        self._fleet = fleet
        self._board = board
        self._desk = desk
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._pushed: dict[str, None] = {}

    def open(
        self, name: str, start: PushStart, taken: Callable[[int], None]
    ) -> tuple[str, PushedSource, float]:
        """Open a channel; the oldest of those that have ended are forgotten."""
        if self._fleet.rounds is None:
            raise TooEarlyError(*TOO_EARLY)
        with self._lock:
            if name and not _NAME.fullmatch(name):
                raise UsageError("the channel's name is none", "letters, digits, dots and dashes, 64 at most")
            known = {each.name: each for each in self._desk.states()}
            while not name or (name in known and name not in self._pushed):
                if name:
                    raise UsageError(f"{name} is the name of another channel", "?channel=NAME")
                name = next(made for number in self._numbers if (made := f"push-{number}") not in known)
            source = PushedSource(f"{PUSH}{name}", start.width, start.height, start.fps, taken)
            entry = {"source": PUSH, "name": name} | ({"title": start.title} if start.title else {})
            spec = self._desk.opened(entry, source)
            step_seconds = spec.settings.step_seconds
            self._pushed.pop(name, None)
            self._pushed[name] = None
            self._forget({name for name, each in known.items() if each.condition in OVER})
        return name, source, step_seconds

    def _forget(self, ended: set[str]) -> None:
        over = [name for name in self._pushed if name in ended]
        for name in over[: max(0, len(over) - MOST_ENDED)]:
            del self._pushed[name]
            with suppress(UsageError):
                self._desk.remove(name)


def attend(board: Board | None, opened: OpenChannel) -> Hub | None:
    """Show a channel that is open, where there is a page; one that is removed goes from it behind its end."""
    if board is None:
        return None
    name = opened.spec.name
    hub = board.add(name, opened.spec.kept.named, opened.questions)
    hub.figures.source = public_name(opened.spec.source)
    hub.figures.may_end = opened.spec.source == PUSH
    hub.figures.num_reconnects = lambda: reconnects_of(opened.source)

    def leave() -> None:
        if opened.is_leaving and board.hubs.get(name) is hub:
            board.remove(name)

    opened.stack.callback(leave)
    return hub
