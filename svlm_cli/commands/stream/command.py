"""``svlm stream``: watch a video and print what the model says, second by second."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from svlm_cli.commands.engine import engine_of
from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import Graphs, ModelChoice, Talk, WordChoice
from svlm_cli.commands.stream.beside import Asking, Kept, Live, Sources
from svlm_cli.commands.stream.options import (
    MemoryChoice,
    OpeningChoice,
    PartChoice,
    SamplingChoice,
    SightChoice,
)
from svlm_cli.errors import UsageError
from svlm_cli.media.address import PUSH

if TYPE_CHECKING:
    from svlm_cli.commands.stream.channel_file import ChannelOptions

EXAMPLES = """
svlm stream 'arena:soccer?seed=7' --fps 8
svlm stream match.mp4 --model mit-han-lab/StreamingVLM --out match.vtt --out match.jsonl
svlm stream match.mp4 --start 60 --duration 30 --fps 8 --greedy
svlm stream match.mp4 --title "Cup final" --previous-text @notes.txt --json --quiet
svlm stream rtsp://camera.local/stream --ask --save-state stream.svlm --out words.vtt
svlm stream 'arena:soccer?minutes=inf' --serve 127.0.0.1:8000"""


@grouped
def stream(
    context: typer.Context,
    sources: Sources,
    model: ModelChoice,
    feeding: WordChoice,
    sight: SightChoice,
    opening: OpeningChoice,
    memory: MemoryChoice,
    words: SamplingChoice,
    part: PartChoice,
    live: Live,
    asking: Asking,
    kept: Kept,
    talk: Talk,
) -> int:
    """Watch SOURCE and print what the model says, second by second, for as long as it lasts."""
    from svlm_cli.commands.stream.channel_file import ChannelOptions

    options = ChannelOptions(sight, opening, memory, words, part, live, asking, kept)
    is_one = len(sources) == 1 and not sources[0].startswith("@") and sources[0] != PUSH
    if not is_one or asking.max_channels is not None:
        return _stream_channels(sources, model, feeding, options, talk)
    if "," in model.device:
        raise UsageError("several devices are for several channels", "name one device")
    settings = options.settings
    from svlm_cli.commands.stream.run import run_stream
    from svlm_cli.commands.stream.view import StreamView

    engine = engine_of(context)
    view = StreamView(json=talk.json, quiet=talk.quiet, verbose=talk.verbose)
    held = live.options(waits=True)
    return run_stream(
        sources[0],
        settings,
        held,
        part.pace,
        asking,
        kept,
        view,
        engine,
        lambda: model.load(engine, packed=True, **asdict(feeding)),
    )


def _stream_channels(
    sources: list[str], model: ModelChoice, feeding: WordChoice, options: ChannelOptions, talk: Talk
) -> int:
    """Several sources, or a file of channels, through one model."""
    from svlm_cli.commands.stream.channel_file import ChannelBook, named_channels
    from svlm_cli.commands.stream.channels_view import ChannelsView
    from svlm_cli.commands.stream.several import run_channels

    if feeding.compiled or feeding.graphs is Graphs.ON or talk.verbose:
        raise UsageError(
            "--compile, --graphs on and --verbose are for one source",
            "leave them out, or start one svlm stream for each source",
        )
    if any(source.startswith("@") for source in sources):
        if len(sources) > 1:
            raise UsageError("a file of channels stands alone", "write the other sources into it")
        book = ChannelBook(options, model, Path(sources[0][1:]))
        specs, model = book.read()
    else:
        book = ChannelBook(options, model)
        specs = named_channels(sources, options)
    view = ChannelsView([spec.name for spec in specs], json=talk.json, quiet=talk.quiet)
    devices = [replace(model, device=name) for name in model.device.split(",")]
    loads = [partial(each.load, packed=True, graphs="off") for each in devices]
    return run_channels(specs, book, view, loads, options.asking)
