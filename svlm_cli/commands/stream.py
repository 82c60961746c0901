"""``svlm stream``: watch a video and print what the model says, second by second."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Protocol, TypeVar

from svlm_cli.commands import options
from svlm_cli.commands import stream_options as own
from svlm_cli.commands.options import Attention, Dtype, Quantize
from svlm_cli.errors import OutputError
from svlm_cli.settings import Sampling, StreamSettings

if TYPE_CHECKING:
    from collections.abc import Generator

    from svlm_cli.commands.stream_view import StreamView
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.writers import Writers
    from svlm_cli.types import StreamEvent

DEFAULT = StreamSettings()
WORDS = DEFAULT.sampling

BANNER = (
    "bundled arena model: it knows arena matches only; "
    "name a real one with --model, e.g. mit-han-lab/StreamingVLM"
)

EXAMPLES = """Examples:

svlm stream 'arena:soccer?seed=7' --fps 8

svlm stream match.mp4 --model mit-han-lab/StreamingVLM --out match.vtt --out match.jsonl

svlm stream match.mp4 --start 60 --duration 30 --fps 8 --greedy

svlm stream match.mp4 --title "Cup final" --previous-text @notes.txt --json --quiet"""


class Loaded(Protocol):
    """What the command asks of a model."""

    @property
    def is_bundled(self) -> bool:
        """Whether it is the small model that comes with svlm."""


LoadedT = TypeVar("LoadedT", bound=Loaded)


def stream(
    source: own.Source,
    model: options.Model = None,
    adapter: options.Adapter = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    threads: options.Threads = None,
    attention: options.AttentionOption = Attention.AUTO,
    quantize: options.QuantizeOption = Quantize.NONE,
    fps: own.Fps = DEFAULT.fps,
    step_seconds: own.StepSeconds = DEFAULT.step_seconds,
    min_pixels: own.MinPixels = DEFAULT.min_pixels,
    max_pixels: own.MaxPixels = DEFAULT.max_pixels,
    drop_static: own.DropStatic = DEFAULT.drop_static,
    query: own.Query = DEFAULT.query,
    title: own.Title = DEFAULT.title,
    previous_text: own.PreviousText = DEFAULT.previous_text,
    policy: own.PolicyOption = DEFAULT.policy,
    positions: own.PositionsOption = DEFAULT.positions,
    restart_seconds: own.RestartSeconds = DEFAULT.restart_seconds,
    sink: own.Sink = DEFAULT.sink,
    text_window: own.TextWindow = DEFAULT.text_window,
    vision_window: own.VisionWindow = DEFAULT.vision_window,
    rounds: own.Rounds = DEFAULT.rounds,
    max_new_tokens: own.MaxNewTokens = WORDS.max_new_tokens,
    temperature: own.Temperature = WORDS.temperature,
    top_k: own.TopK = WORDS.top_k,
    top_p: own.TopP = WORDS.top_p,
    repetition_penalty: own.RepetitionPenalty = WORDS.repetition_penalty,
    greedy: own.Greedy = WORDS.greedy,
    seed: own.Seed = WORDS.seed,
    start: own.Start = DEFAULT.start,
    duration: own.Duration = DEFAULT.duration,
    pace: own.PaceOption = DEFAULT.pace,
    out: own.Out = None,
    trace: own.Trace = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Watch SOURCE and print what the model says, second by second, for as long as it lasts."""
    settings = StreamSettings(
        fps=fps,
        step_seconds=step_seconds,
        policy=policy,
        positions=positions,
        restart_seconds=restart_seconds,
        sink=sink,
        text_window=text_window,
        vision_window=vision_window,
        rounds=rounds,
        query=query,
        title=title,
        previous_text=options.read_text_option(previous_text),
        sampling=Sampling(max_new_tokens, temperature, top_k, top_p, repetition_penalty, greedy, seed),
        start=start,
        duration=duration,
        pace=pace,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        drop_static=drop_static,
    )
    from svlm_cli.commands.stream_view import StreamView
    from svlm_cli.stream.writers import Writers

    writers = Writers(out or [], trace, source)
    view = StreamView(json=json, quiet=quiet, verbose=verbose)

    def load() -> VideoLanguageModel:
        from svlm_cli.model.load import load_model

        return load_model(
            model,
            device=device,
            dtype=dtype,
            attention=attention,
            threads=threads,
            adapter=adapter,
            quantize=quantize,
            packed=True,
        )

    def start_stream(loaded: VideoLanguageModel) -> Generator[StreamEvent, None, None]:
        from svlm_cli.stream.loop import stream_video

        return stream_video(loaded, opened, settings, writers.trace if trace else None)

    from svlm_cli.stream.sources import open_source

    with open_source(source) as opened:
        run_stream(view, writers, load, start_stream)


def run_stream(
    view: StreamView,
    writers: Writers,
    load: Callable[[], LoadedT],
    start: Callable[[LoadedT], Generator[StreamEvent, None, None]],
) -> None:
    """Load a model and pass every event of its stream to the files, then to the view.

    Args:
        load: gives the model; its ``is_bundled`` decides about the banner.
        start: begins the stream, a generator; it is closed whatever happens.

    Raises:
        OutputError: at the end, where an output was lost on the way; the others are complete.
    """
    with writers, view:
        with view.busy("loading the model"):
            model = load()
        if model.is_bundled:
            view.say(BANNER)
        with closing(start(model)) as events:
            for event in events:
                for failure in writers.write(event):
                    view.show(failure)
                view.show(event)
        view.finish(writers.failed)
    if writers.failed:
        raise OutputError(f"outputs that end early: {', '.join(writers.failed)}")
