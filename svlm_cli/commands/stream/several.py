"""Several channels of ``svlm stream``: all around each opened, their events passed on, all closed again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from svlm_cli.commands.stream import run as one
from svlm_cli.commands.stream.channel_file import NAME, ChannelSpec
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.commands.stream.stopping import Stopper
from svlm_cli.errors import OutputError, SourceError, SvlmError, UsageError
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.stream.questions import Questions, read_questions
from svlm_cli.types import EndEvent, WarningEvent

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.channels.rounds import Channel, ChannelEvent


@dataclass(slots=True, eq=False)
class _Open:
    """A channel with what is written of it.

    Args:
        spec: as it was asked for.
        writers: its files.
        questions: asked of it.
        channel: None where its source could not be opened.
        failures: what went wrong, in words; none where all went well.
    """

    spec: ChannelSpec
    writers: Writers
    questions: Questions = field(default_factory=Questions)
    channel: Channel | None = None
    failures: list[str] = field(default_factory=list)


def run_channels(
    specs: Sequence[ChannelSpec],
    view: ChannelsView,
    load: Callable[[], VideoLanguageModel],
    *,
    ask: bool,
) -> int:
    """Stream several sources and pass every event to its channel's files and to the view.

    Args:
        specs: with different names.
        load: gives the model.
        ask: take questions from standard input.

    Returns:
        The exit code: 0, or that of the signal that ended it.

    Raises:
        SvlmError: what stands in the way of all; at the end the channels that failed, by name.
    """
    _require_apart(specs, ask=ask)
    asked = [read_questions(spec.asking.ask_file) if spec.asking.ask_file else [] for spec in specs]
    with ExitStack() as stack:
        stack.enter_context(view)
        stopper = stack.enter_context(Stopper(lambda: view.say(one.STOPPING)))
        opened = [_opened(spec, questions, stack, view) for spec, questions in zip(specs, asked, strict=True)]
        ready = [each.channel for each in opened if each.channel is not None]
        if not ready:
            raise SourceError(f"no channel could be opened: {'; '.join(opened[0].failures)}")
        model = one.loaded(load, view)
        if ask:
            _listen(opened, stack, view, stopper)
        from svlm_cli.stream.channels.rounds import stream_channels

        by_name = {each.spec.name: each for each in opened}
        with closing(stream_channels(model, ready, stopper.event)) as events:
            for told in events:
                _pass_on(told, by_name[told.channel], view)
        view.finish(stopped=stopper.code != 0)
        code = stopper.code
    failed = [f"{each.spec.name} ({'; '.join(each.failures)})" for each in opened if each.failures]
    if failed and not code:
        raise OutputError(f"{len(failed)} of {len(opened)} channels failed: {', '.join(failed)}")
    return code


def _require_apart(specs: Sequence[ChannelSpec], *, ask: bool) -> None:
    """No two channels may write one file or read standard input.

    Raises:
        UsageError: two would.
    """
    taken: dict[str, str] = {}
    for spec in specs:
        one.check(spec.source, replace(spec.asking, ask=ask), spec.kept)
        kept = spec.kept
        for path in (*kept.outputs, *filter(None, (kept.trace, kept.save_state))):
            real = os.path.realpath(path)
            if real in taken:
                told = f"the channels {taken[real]} and {spec.name} would both write {path}"
                raise UsageError(told, f"write {NAME} in its name, e.g. --out 'air/{NAME}.vtt'")
            taken[real] = spec.name
        for other in specs:
            if other is not spec and os.path.realpath(other.source) in taken:
                raise UsageError(f"{other.source} is the source of {other.name} and an output of another")
    if sum(spec.source == "-" for spec in specs) > 1:
        raise UsageError("standard input can be the source of one channel only")


def _opened(spec: ChannelSpec, asked: list[tuple[float, str]], stack: ExitStack, view: ChannelsView) -> _Open:
    """Open one channel; a source that cannot be opened is told, and is this channel's end alone."""
    from svlm_cli.stream.channels.rounds import Channel
    from svlm_cli.stream.sources import open_source

    kept, settings = spec.kept, spec.settings
    writers = Writers(kept.outputs, kept.trace, spec.source, overwrite=kept.overwrite)
    made = _Open(spec, writers)
    one.claim_all(kept, stack)
    stack.enter_context(writers)
    try:
        source = stack.enter_context(open_source(spec.source, spec.live, settings.viewing))
    except SourceError as error:
        made.failures.append(error.message)
        view.show(spec.name, WarningEvent(str(error), settings.start))
        return made
    resume = one.resumed(kept, writers, source, view)
    for at_seconds, text in one.to_ask(asked, resume):
        made.questions.ask(text, at_seconds)
    keeper = one.keeper_of(kept, writers, stack)
    made.channel = Channel(
        spec.name,
        source,
        replace(settings, pace=spec.pace or one.fitting_pace(source)),
        writers.trace if kept.trace else None,
        Controls(questions=made.questions, keeper=keeper, resume=resume),
    )
    return made


def _pass_on(told: ChannelEvent, channel: _Open, view: ChannelsView) -> None:
    """An event to the files and the view; the last one closes the files."""
    for shown in [*channel.writers.write(told.event), told.event]:
        view.show(told.channel, shown)
    if told.error is not None:
        error = told.error
        channel.failures.append(error.message if isinstance(error, SvlmError) else str(error))
    if isinstance(told.event, EndEvent):
        channel.writers.finish()
        channel.failures += channel.writers.failed
        keeper = None if channel.channel is None else channel.channel.controls.keeper
        if keeper is not None and keeper.has_failed:
            channel.failures.append(f"its end is not in the state {keeper.path}")


def _listen(opened: Sequence[_Open], stack: ExitStack, view: ChannelsView, stopper: Stopper) -> None:
    """Take questions from standard input: ``NAME: QUESTION``; without a name, of the channel last named."""
    from svlm_cli.commands.stream.asking import Typing

    by_name = {each.spec.name: each.questions for each in opened if each.channel is not None}
    last = next(iter(by_name))

    def ask(text: str) -> None:
        nonlocal last
        name, colon, rest = text.partition(":")
        if colon and name.strip() in by_name:
            last, text = name.strip(), rest
        if text.strip() and not by_name[last].ask(text):
            view.say("too many questions wait already; this one was not taken", "yellow")

    typing = Typing(ask, view.show_typed, by_letter=view.has_status and sys.stdin.isatty())
    stopper.restore = typing.restore
    stack.enter_context(typing)
