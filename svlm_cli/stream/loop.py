"""The paced loop: clips from a source through a session, out as typed events."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from svlm_cli.media.source import Source
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.channels.run import OpenedStream
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.trace import TraceRecord
from svlm_cli.types import StreamEvent


def stream_video(
    model: VideoLanguageModel,
    source: Source,
    settings: StreamSettings | None = None,
    trace: Callable[[TraceRecord], None] | None = None,
    controls: Controls | None = None,
) -> Generator[StreamEvent, None, None]:
    """Stream a source through a model, one event per step.

    Args:
        model: what ``load_model`` gave.
        source: what ``open_source`` gave; the caller closes it.
        settings: defaults where None. Where they hold no previous text, a source that knows how its
            commentary opens (an arena match) gives it.
        trace: called with one record per step.
        controls: how to stop it, to ask, to look on, to save and resume its state.

    Yields:
        A ``StartEvent``, a ``StepEvent`` per step with ``WarningEvent`` between them where something
        went wrong and an ``AnswerEvent`` before the step in which a question was asked, and an ``EndEvent``.

    Raises:
        SourceError: the source cannot be read, or (``SourceLostError``) a live one was lost and did not come
            back; in the second case after the ``EndEvent``.
        StateError: the state to resume was made with something else.
        ModelError: the model gave numbers that are not finite; the last state saved stays.
    """
    opened = OpenedStream.of(model, source, settings or StreamSettings(), trace, controls or Controls())
    yield from opened.first_events()
    run = opened.begin()
    # The reader may hold threads and file handles: it is closed whenever this generator is.
    with closing(run):
        yield from run.lacking(opened.text)
        yield from run.events()
        yield from run.warnings()
    yield from run.last_words()
    yield run.statistics.end_event(model.device)
    if run.lost is not None:
        raise run.lost
