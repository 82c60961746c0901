"""``svlm stream``: watch a video and print what the model says, second by second."""

from __future__ import annotations

from dataclasses import asdict

from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import ModelChoice, Talk, WordChoice, read_text_option
from svlm_cli.commands.stream.beside import Asking, Kept, Live
from svlm_cli.commands.stream.options import (
    MemoryChoice,
    OpeningChoice,
    PartChoice,
    SamplingChoice,
    SightChoice,
    Source,
    stream_settings,
)
from svlm_cli.media.address import LiveOptions

EXAMPLES = """Examples:

svlm stream 'arena:soccer?seed=7' --fps 8

svlm stream match.mp4 --model mit-han-lab/StreamingVLM --out match.vtt --out match.jsonl

svlm stream match.mp4 --start 60 --duration 30 --fps 8 --greedy

svlm stream match.mp4 --title "Cup final" --previous-text @notes.txt --json --quiet

svlm stream rtsp://camera.local/stream --ask --save-state stream.svlm --out words.vtt

svlm stream 'arena:soccer?minutes=inf' --serve 127.0.0.1:8000"""


@grouped
def stream(
    source: Source,
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
    settings = stream_settings(
        sight,
        memory,
        words,
        max_answer_tokens=asking.max_answer_tokens,
        title=opening.title,
        prompt_format=opening.prompt_format,
        previous_text=read_text_option(opening.previous_text),
        start=part.start,
        duration=part.duration,
        on_lag=part.on_lag,
    )
    from svlm_cli.commands.stream.run import run_stream
    from svlm_cli.commands.stream.view import StreamView

    view = StreamView(json=talk.json, quiet=talk.quiet, verbose=talk.verbose)
    held = LiveOptions(**asdict(live))
    return run_stream(
        source,
        settings,
        held,
        part.pace,
        asking,
        kept,
        view,
        lambda: model.load(packed=True, **asdict(feeding)),
    )
