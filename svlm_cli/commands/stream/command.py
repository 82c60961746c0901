"""``svlm stream``: watch a video and print what the model says, second by second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svlm_cli.commands import options
from svlm_cli.commands.options import Attention, Dtype, Graphs, Quantize
from svlm_cli.commands.stream import options as own
from svlm_cli.media.address import LiveOptions
from svlm_cli.settings import Sampling, StreamSettings

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel

DEFAULT = StreamSettings()
WORDS = DEFAULT.sampling

LIVE = LiveOptions()

EXAMPLES = """Examples:

svlm stream 'arena:soccer?seed=7' --fps 8

svlm stream match.mp4 --model mit-han-lab/StreamingVLM --out match.vtt --out match.jsonl

svlm stream match.mp4 --start 60 --duration 30 --fps 8 --greedy

svlm stream match.mp4 --title "Cup final" --previous-text @notes.txt --json --quiet

svlm stream rtsp://camera.local/stream --ask --save-state stream.svlm --out words.vtt

svlm stream 'arena:soccer?minutes=inf' --serve 127.0.0.1:8000"""


def stream(
    source: own.Source,
    model: options.Model = None,
    adapter: options.Adapter = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    threads: options.Threads = None,
    attention: options.AttentionOption = Attention.AUTO,
    quantize: options.QuantizeOption = Quantize.NONE,
    compiled: options.CompileOption = False,
    graphs: options.GraphsOption = Graphs.AUTO,
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
    pace: own.PaceOption = None,
    on_lag: own.OnLagOption = DEFAULT.on_lag,
    rtsp_transport: own.RtspTransportOption = LIVE.rtsp_transport,
    stall_seconds: own.StallSeconds = LIVE.stall_seconds,
    reconnect_seconds: own.ReconnectSeconds = LIVE.reconnect_seconds,
    max_height: own.MaxHeight = LIVE.max_height,
    ask: own.Ask = False,
    ask_file: own.AskFile = None,
    max_answer_tokens: own.MaxAnswerTokens = WORDS.max_answer_tokens,
    serve: own.Serve = None,
    out: own.Out = None,
    overwrite: own.Overwrite = False,
    save_state: own.SaveState = None,
    save_every: own.SaveEvery = 60.0,
    resume: own.Resume = None,
    trace: own.Trace = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
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
        sampling=Sampling(
            max_new_tokens, temperature, top_k, top_p, repetition_penalty, greedy, seed, max_answer_tokens
        ),
        start=start,
        duration=duration,
        on_lag=on_lag,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        drop_static=drop_static,
    )
    from svlm_cli.commands.stream.run import Extras, run_stream
    from svlm_cli.commands.stream.view import StreamView

    live = LiveOptions(rtsp_transport, stall_seconds, reconnect_seconds, max_height)
    extras = Extras(
        tuple(out or ()), trace, overwrite, live, pace, ask, ask_file, serve, save_state, save_every, resume
    )

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
            compiled=compiled,
            graphs=graphs,
        )

    return run_stream(source, settings, extras, StreamView(json=json, quiet=quiet, verbose=verbose), load)
