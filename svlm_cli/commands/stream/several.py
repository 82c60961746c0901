"""Several channels of ``svlm stream``: their model, their questions, the signals that change and end them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.commands.stream import run as one
from svlm_cli.commands.stream.beside import Asking
from svlm_cli.commands.stream.channel_file import NAME, ChannelBook, ChannelSpec
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.commands.stream.fleet import TOO_EARLY, Fleet
from svlm_cli.commands.stream.serving import PUSHED_CHANNELS, PageDesk, PushOpener, attend
from svlm_cli.commands.stream.stopping import Reloader, Stopper
from svlm_cli.errors import OutputError, SourceError, SvlmError, UsageError
from svlm_cli.media.address import PUSH

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.channels.devices import Spread
    from svlm_cli.stream.channels.rounds import Rounds
    from svlm_cli.stream.page.board import Board


def run_channels(
    specs: Sequence[ChannelSpec],
    book: ChannelBook,
    view: ChannelsView,
    loads: Sequence[Callable[[], VideoLanguageModel]],
    asking: Asking,
) -> int:
    """Stream several sources and pass every event to its channel's files and to the view.

    Args:
        specs: channels with different names.
        book: where they are from, and those that are added later.
        loads: each gives the model on a device.
        asking: whether questions are taken from standard input; the page and who may add channels.

    Returns:
        The exit code: 0, or that of the signal that ended it.

    Raises:
        SvlmError: what stands in the way of all; at the end the channels that failed, by name.
    """
    takes_frames = any(spec.source == PUSH for spec in specs)
    specs = [spec for spec in specs if spec.source != PUSH]
    if asking.ask and any(spec.source == "-" for spec in specs):
        raise UsageError("standard input cannot be video and questions at once", "use --ask-file")
    with ExitStack() as stack:
        stack.enter_context(view)
        stopper = stack.enter_context(Stopper(lambda: view.say(one.STOPPING)))
        board = _board(asking, book, stack, takes_frames=takes_frames)
        fleet = stack.enter_context(Fleet(book, view, partial(attend, board)))
        stack.enter_context(Reloader(lambda: _reload(book, fleet, view), stopper))
        may_add = asking.max_channels is not None
        stays = may_add or takes_frames
        if board is not None:
            desk = PageDesk(fleet, board, view, asking.max_channels or len(specs) + PUSHED_CHANNELS)
            opener = PushOpener(fleet, board, desk) if takes_frames else None
            one.serve(board, asking, stack, view, desk if may_add else None, opener)
        fleet.open_all(specs)
        _note(board, "the model is being loaded")
        if not stays and not fleet.waits and not fleet.ready:
            (first, *_) = fleet.failed.values()
            raise SourceError(f"no channel could be opened: {'; '.join(first)}")
        if stopper.code:
            view.finish(stopped=True)
            return stopper.code
        models = [one.loaded(loads[0], view), *(load() for load in loads[1:])]
        fleet.begin(_rounds(models, stopper, lambda: stays or fleet.waits))
        _note(board, "")
        if asking.ask:
            _listen(fleet, stack, view, stopper)
        fleet.run()
        code = stopper.code
        view.finish(stopped=code != 0)
        if board is not None and view.has_status and not code:
            view.say(one.PAGE_STAYS)
            stopper.event.wait()
    if fleet.failed and not code:
        named = [f"{name} ({'; '.join(failures)})" for name, failures in fleet.failed.items()]
        raise OutputError(f"{len(named)} of {len(fleet)} channels failed: {', '.join(named)}")
    return code


def _rounds(
    models: Sequence[VideoLanguageModel], stopper: Stopper, stays: Callable[[], bool]
) -> Rounds | Spread:
    from svlm_cli.stream.channels.devices import Spread
    from svlm_cli.stream.channels.rounds import Rounds

    if len(models) == 1:
        return Rounds(models[0], stopper.event, stays=stays)
    return Spread(models, stopper.event, stays=stays)


def _note(board: Board | None, lacks: str) -> None:
    """Why there can be no step yet, for whoever watches over the process."""
    if board is not None:
        board.lacks = lacks


def _board(asking: Asking, book: ChannelBook, stack: ExitStack, *, takes_frames: bool) -> Board | None:
    """What the page shows, where one is wanted."""
    if (takes_frames or asking.max_channels is not None) and (path := book.shared_path):
        raise UsageError(f"{path}: channels that are added would share it", f"write {NAME} in its name")
    if asking.serve is None:
        if takes_frames:
            raise UsageError("push: takes pictures at the page's address", "add --serve HOST:PORT")
        if asking.max_channels is not None:
            raise UsageError("--max-channels is for channels that the page adds", "add --serve HOST:PORT")
        return None
    from svlm_cli.stream.page.board import Board

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="svlm-page-"))
    board = Board(Path(folder), is_several=True)
    board.lacks = "the channels are being opened"
    return board


def _reload(book: ChannelBook, fleet: Fleet, view: ChannelsView) -> None:
    """Read the file of channels again and change to what it says; where it is wrong, nothing changes."""
    if book.path is None or fleet.rounds is None:
        why = "no file of channels to be read again" if book.path is None else ": ".join(TOO_EARLY)
        return view.say(f"SIGHUP: {why}", "yellow")
    before = book.model
    try:
        specs, model = book.read()
        if model != before:
            view.say(
                "warning: model, device, dtype and the like stay as they are until a new start", "yellow"
            )
        opened = [spec for spec in specs if spec.source != PUSH]
        view.say(f"{book.path} read again: {fleet.change_to(opened)}")
    except SvlmError as error:
        view.say(f"warning: {error}; no channel has changed", "yellow")


def _listen(fleet: Fleet, stack: ExitStack, view: ChannelsView, stopper: Stopper) -> None:
    """Take questions from standard input: ``NAME: QUESTION``; without a name, of the channel last named."""
    from svlm_cli.commands.stream.asking import Typing

    last = fleet.ready[0].name if fleet.ready else ""

    def ask(text: str) -> None:
        nonlocal last
        colons = [place for place, letter in enumerate(text) if letter == ":"]
        for place in reversed(colons):  # a name may hold one itself
            if fleet.questions_of(text[:place].strip()) is not None:
                last, text = text[:place].strip(), text[place + 1 :]
                break
        questions = fleet.questions_of(last)
        if questions is None:
            view.say(f"the channel {last} has gone: name another, e.g. NAME: {text.strip()[:40]}", "yellow")
        elif text.strip() and not questions.ask(text):
            view.say("too many questions wait already; this one was not taken", "yellow")

    typing = Typing(ask, view.show_typed, by_letter=view.has_status and sys.stdin.isatty())
    stopper.restore = typing.restore
    stack.enter_context(typing)
