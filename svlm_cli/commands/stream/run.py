"""One run of ``svlm stream``: everything around the loop opened, its events passed on, all closed again."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from svlm_cli.claims import claim
from svlm_cli.commands.engine import Engine
from svlm_cli.commands.stream.beside import AUTO, Asking, Kept
from svlm_cli.commands.stream.stopping import Stopper
from svlm_cli.commands.stream.view import StreamView
from svlm_cli.errors import OutputError, UsageError
from svlm_cli.files import remove_partials
from svlm_cli.media.address import LiveOptions, public_name
from svlm_cli.media.source import reconnects_of
from svlm_cli.settings import Pace, StreamSettings
from svlm_cli.stream.controls import Controls, watching
from svlm_cli.stream.outputs.append import is_file_or_none
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.kinds import require_distinct
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.stream.outputs.written import last_written
from svlm_cli.stream.pacing import SaveTurns
from svlm_cli.stream.questions import Questions, read_questions

if TYPE_CHECKING:
    from svlm_cli.media.source import Source
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.channels.channel import Desk
    from svlm_cli.stream.page.board import Board
    from svlm_cli.stream.page.hub import Hub
    from svlm_cli.stream.page.push import Opener
    from svlm_cli.stream.state import SavedState, StateKeeper
    from svlm_cli.types import StreamEvent

_STATE_OPENING_BYTES = 64
BANNER = (
    "bundled arena model: it knows arena matches only; "
    "name a real one with --model, e.g. mit-han-lab/StreamingVLM"
)
COMPILING = "compiling before the first second: this takes seconds to a minute"
PAGE_STAYS = "the stream has ended; the page stays until Ctrl-C"
STOPPING = "stopping after this step; Ctrl-C again stops at once"
TOKEN_VARIABLE = "SVLM_PAGE_TOKEN"  # noqa: S105 - the name, not a token


class Talking(Protocol):
    """A view of one stream or of several."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing but errors is said."""

    def say(self, message: str, style: str = "") -> None:
        """One line of talk."""

    def busy(self, what: str) -> AbstractContextManager[object]:
        """A sign that ``what`` is done meanwhile."""


def run_stream(
    source: str,
    settings: StreamSettings,
    live: LiveOptions,
    pace: Pace | None,
    asking: Asking,
    kept: Kept,
    view: StreamView,
    engine: Engine,
    load: Callable[[], VideoLanguageModel],
) -> int:
    """Stream a source and pass every event to the files, the page and the view.

    Args:
        pace: None for what suits the source.
        live: how a live source is opened and held.
        asking, kept: what goes on beside it, and what it writes.
        engine: opens and streams it.
        load: gives the model.

    Returns:
        The exit code: 0, or that of the signal that ended it.

    Raises:
        SvlmError: whatever stands in its way; outputs lost on the way are named at the end, the others are
            complete.
    """
    check(source, asking, kept)
    asked = read_questions(asking.ask_file) if asking.ask_file else []
    writers = kept.writers(source)
    questions = Questions()
    with ExitStack() as stack:
        claim_all(kept, stack)
        stack.enter_context(writers)
        stack.enter_context(view)
        hub = _served(source, asking, kept, questions, stack, view)
        opened = stack.enter_context(engine.open_source(source, live, settings.viewing))
        if hub is not None:
            hub.figures.num_reconnects = lambda: reconnects_of(opened)
        resume = resumed(kept, writers, opened, view)
        for at_seconds, text in to_ask(asked, resume):
            questions.ask(text, at_seconds)
        model = loaded(load, view)
        stopper = stack.enter_context(Stopper(lambda: view.say(STOPPING)))
        if asking.ask:
            _listen(questions, stack, view, stopper)
        keeper = keeper_of(kept, writers, stack)
        watch = watching(None if hub is None else hub.watch, writers.watch)
        controls = Controls(
            stop=stopper.event, questions=questions, watch=watch, keeper=keeper, resume=resume
        )
        settings = replace(settings, pace=pace or fitting_pace(opened))
        trace = writers.trace if kept.trace else None
        _pass_on(engine.stream_video(model, opened, settings, trace, controls), writers, hub, view)
        code = _finish(writers, view, stopper, hub)
    if not code:
        _require_whole(writers, keeper)
    return code


def loaded(load: Callable[[], VideoLanguageModel], view: Talking) -> VideoLanguageModel:
    """The model, and what is to be said of it."""
    with view.busy("loading the model"):
        model = load()
    if model.is_bundled:
        view.say(BANNER)
    if model.word_forward is not None and model.word_forward.compiled:
        view.say(COMPILING)
    return model


def _finish(writers: Writers, view: StreamView, stopper: Stopper, hub: Hub | None) -> int:
    """Close the files, show the summary, and keep the page open where somebody may still look at it.

    Returns:
        The exit code of the stream: a Ctrl-C at the page changes nothing about it.
    """
    writers.finish()
    code = stopper.code
    view.finish(writers.failed, stopped=code != 0)
    if hub is not None and view.has_status and not code:
        view.say(PAGE_STAYS)
        stopper.event.wait()
    return code


def _require_whole(writers: Writers, keeper: StateKeeper | None) -> None:
    if writers.failed:
        raise OutputError(f"outputs that end early: {', '.join(writers.failed)}")
    if keeper is not None and keeper.has_failed:
        raise OutputError(f"the end of the stream is not in the state {keeper.path}")


def check(source: str, asking: Asking, kept: Kept) -> None:
    """What can be seen to be wrong before anything is opened."""
    if asking.ask and source == "-":
        raise UsageError("standard input cannot be video and questions at once", "use --ask-file or --serve")
    if kept.save_every <= 0:
        raise UsageError(f"--save-every must be above 0, not {kept.save_every:g}")
    outputs = [*kept.outputs, *([kept.trace] if kept.trace else [])]
    asked = {} if asking.ask_file is None else {"the file of questions": asking.ask_file}
    if kept.resume == AUTO and kept.save_state is None:
        raise UsageError("--resume auto goes on from the file of --save-state", "name one, e.g. stream.svlm")
    resumed = {} if kept.resumed is None else {"the state that is resumed": kept.resumed}
    require_distinct(outputs, source, asked | resumed)
    if kept.save_state is not None:
        folder = _folder(kept.save_state)
        if not folder.is_dir():
            raise OutputError(f"no folder {folder} for the state {kept.save_state}", f"mkdir -p {folder}")
        if not os.access(folder, os.W_OK):
            raise OutputError(f"no permission to write {kept.save_state}", "choose another folder")
        if kept.save_state.is_dir():
            raise OutputError(f"the state {kept.save_state} is a folder", "name a file in it")
        if not is_file_or_none(kept.save_state):
            raise OutputError(f"the state {kept.save_state} is no ordinary file", "name another")
        require_distinct([*outputs, kept.save_state], source, asked)
        if kept.save_state != kept.resumed and not _may_be_replaced(kept.save_state):
            raise OutputError(
                f"{kept.save_state} is there and is no state: it is not written over", "name another file"
            )


def _may_be_replaced(path: Path) -> bool:
    """Whether a file is a state by its beginning, is empty, or is not there: no copy of it is kept."""
    from svlm_cli.stream.state_file import begins_a_state

    try:
        with path.open("rb") as file:
            opening = file.read(_STATE_OPENING_BYTES)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}", "name another file") from error
    return not opening or begins_a_state(opening)


def claim_all(kept: Kept, stack: ExitStack) -> None:
    """Keep others out of all that is written and of what is gone on from; clear what a kill has left of it.

    Raises:
        OutputError: somebody else has one of them; says who.
    """
    whats = dict.fromkeys(kept.outputs, "the output")
    if kept.trace is not None:
        whats[kept.trace] = "the trace"
    if kept.save_state is not None:
        whats[kept.save_state] = "the state"
    state = kept.resumed
    if state is not None and state.is_file() and os.access(_folder(state), os.W_OK):
        whats[state] = "the state"
    claims = {
        os.path.realpath(path): f"{what} {path}" for path, what in whats.items() if is_file_or_none(path)
    }
    for real, what in claims.items():
        stack.enter_context(claim(Path(real), what))
    for real in claims:
        remove_partials(Path(real))


def _folder(path: Path) -> Path:
    return Path(os.path.realpath(path)).parent


def to_ask(asked: list[tuple[float, str]], resume: SavedState | None) -> list[tuple[float, str]]:
    """The questions of the file; where a stream goes on, those that waited and what is left of the file."""
    if resume is None:
        return asked
    left = [each for each in asked if each[0] >= resume.told_seconds and each not in resume.questions]
    return [*resume.questions, *left]


def fitting_pace(source: Source) -> Pace:
    """What suits a source: what is live is shown by the clock."""
    return Pace.REALTIME if source.is_live else Pace.MAX


def resumed(kept: Kept, writers: Writers, source: Source, view: Talking) -> SavedState | None:
    """The state to go on from; the outputs go on with it."""
    if (path := kept.resumed) is None:
        return None
    from svlm_cli.stream.state import load_state

    state = load_state(path)
    if state.source != source.name:
        view.say(f"warning: the state is of {state.source}; going on with {source.name}", "yellow")
    # What a file showed after the state was saved, it will show again.
    is_shown_again = not source.is_live
    if not is_shown_again:
        known = [each for each in kept.outputs if os.path.realpath(each) in state.outputs]
        state = replace(state, written=last_written(known))
    writers.resume(Earlier(state.outputs, state.reached_seconds, is_shown_again, state.held))
    return state


def keeper_of(
    kept: Kept, writers: Writers, stack: ExitStack, turns: SaveTurns | None = None
) -> StateKeeper | None:
    """Who saves the state, where it is to be saved, in turns with others."""
    if kept.save_state is None:
        return None
    from svlm_cli.stream.state import StateKeeper

    lengths, held = (lambda: writers.lengths), (lambda: writers.held)
    keeper = StateKeeper(kept.save_state, kept.save_every, lengths, writers.sync, held, writers.settle, turns)
    stack.callback(keeper.close)
    return keeper


def _served(
    source: str, asking: Asking, kept: Kept, questions: Questions, stack: ExitStack, view: StreamView
) -> Hub | None:
    """Open the page, where one is wanted, and say where it is; it is there before the source."""
    if asking.serve is None:
        return None
    from svlm_cli.stream.page.board import Board

    board = Board(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="svlm-page-"))))
    hub = board.add("", kept.named, questions)
    hub.figures.source = public_name(source)
    hub.lack_source(f"{hub.figures.source} is not there yet", is_over=False)
    serve(board, asking, stack, view)
    return hub


def serve(
    board: Board,
    asking: Asking,
    stack: ExitStack,
    view: Talking,
    desk: Desk | None = None,
    opener: Opener | None = None,
) -> None:
    """Open a page of channels and say where it is.

    Args:
        board: the channels.
        asking: its address, and whom it lets in.
        stack: closes it.
        view: says it.
        desk: where channels are added and removed, None where they are not.
        opener: makes channels of pictures that are pushed in, None where none are taken.

    Raises:
        UsageError: no address; nobody would see its token.
    """
    from svlm_cli.stream.page.web import PageServer, parse_address

    address = parse_address(asking.serve or "")
    token = os.environ.get(TOKEN_VARIABLE, "")
    server = stack.enter_context(PageServer(board, address, token, asking.cors or (), desk, opener))
    stack.callback(board.close)
    if server.made_token and view.is_quiet:
        raise UsageError(
            "--quiet does not show the page's token",
            f"choose one with {TOKEN_VARIABLE}, or leave out --quiet",
        )
    view.say(f"page: {server.url}", "bold")


def _listen(questions: Questions, stack: ExitStack, view: StreamView, stopper: Stopper) -> None:
    """Take questions from standard input."""
    from svlm_cli.commands.stream.asking import Typing

    def ask(text: str) -> None:
        if text and not questions.ask(text):
            view.say("too many questions wait already; this one was not taken", "yellow")

    typing = Typing(ask, view.show_typed, by_letter=view.has_status and sys.stdin.isatty())
    stopper.restore = typing.restore
    stack.enter_context(typing)


def _pass_on(
    events: Generator[StreamEvent, None, None], writers: Writers, hub: Hub | None, view: StreamView
) -> None:
    publish: Callable[[StreamEvent], list[StreamEvent]] = (
        (lambda _: []) if hub is None else lambda event: list(hub.publish(event))
    )
    with closing(events):
        for event in events:
            for shown in [*writers.write(event), event]:
                for told in [*publish(shown), shown]:
                    view.show(told)
