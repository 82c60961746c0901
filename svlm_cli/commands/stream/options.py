"""The options of a stream, in groups: name, unit, meaning and default of each stand here, once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from svlm_cli.commands.options import choices, finite, option, unicode_text
from svlm_cli.settings import (
    Deinterlace,
    OnLag,
    Pace,
    PictureStyle,
    Policy,
    Positions,
    PromptFormat,
    Reader,
    Sampling,
    StreamSettings,
)

SIGHT_PANEL = "What the model sees"
MEMORY_PANEL = "What is kept"
WORDS_PANEL = "Words"
SOURCE_PANEL = "Source"
ASKING_PANEL = "Questions and page"
STATE_PANEL = "State"

LARGEST_SEED = 2**63 - 1  # what torch.manual_seed takes
DEFAULT = StreamSettings()
WORDS = DEFAULT.sampling


def _seed(value: int) -> int:
    if not 0 <= value <= LARGEST_SEED:
        raise typer.BadParameter(f"{value} is not in 0 to {LARGEST_SEED}")
    return value


MaxNewTokens = Annotated[
    int, option(WORDS_PANEL, "--max-new-tokens TOKENS", "Limit on the tokens spoken in one step.")
]
Seed = Annotated[
    int,
    option(
        WORDS_PANEL,
        "--seed N",
        "Seed for sampling: the same seed gives the same words.",
        min=0,
        max=LARGEST_SEED,
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A video file; an address (HTTP, HLS, RTSP, RTMP, UDP) or a page that yt-dlp knows; "
        "camera:0 or /dev/video0; - for standard input; a synthetic match: arena:soccer,seed=7,minutes=10.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class SightChoice:
    """What the model sees."""

    fps: Annotated[
        float,
        option(
            SIGHT_PANEL,
            "--fps N",
            "Frames per second shown to the model. Times --step-seconds this must be an even whole number.",
            callback=finite,
        ),
    ] = DEFAULT.fps
    step_seconds: Annotated[
        float,
        option(SIGHT_PANEL, "--step-seconds SECONDS", "Length of one turn, in seconds.", callback=finite),
    ] = DEFAULT.step_seconds
    min_pixels: Annotated[
        int | None,
        option(
            SIGHT_PANEL,
            "--min-pixels N",
            "Frames with fewer pixels than this are enlarged.",
            min=1,
            show_default="as trained: 100 tokens, 78400 (Qwen3: 102400)",
        ),
    ] = DEFAULT.min_pixels
    max_pixels: Annotated[
        int | None,
        option(
            SIGHT_PANEL,
            "--max-pixels N",
            "Frames with more pixels than this are reduced.",
            min=1,
            show_default="as trained: 768 tokens, 602112 (Qwen3: 786432)",
        ),
    ] = DEFAULT.max_pixels
    pictures: Annotated[
        PictureStyle,
        option(
            SIGHT_PANEL,
            f"--pictures {choices(PictureStyle)}",
            "display: frames as a viewer sees them (square pixels, no combs, HD colours, standard dynamic "
            "range); raw: as they are stored.",
        ),
    ] = DEFAULT.pictures
    deinterlace: Annotated[
        Deinterlace,
        option(
            SIGHT_PANEL,
            f"--deinterlace {choices(Deinterlace)}",
            "Make whole frames of two fields. auto: where a frame says it has two; on: always; off: never.",
        ),
    ] = DEFAULT.deinterlace
    reader: Annotated[
        Reader,
        option(
            SIGHT_PANEL,
            f"--reader {choices(Reader)}",
            "What reads video files; auto is PyAV. decord is refused where it would show something else.",
        ),
    ] = DEFAULT.reader
    drop_static: Annotated[
        float | None,
        option(
            SIGHT_PANEL,
            "--drop-static LEVELS",
            "Leave out vision tokens whose pixels changed by no more than this on average, in grey "
            "levels (0 to 255).",
            callback=finite,
            show_default="off",
        ),
    ] = DEFAULT.drop_static
    query: Annotated[
        str,
        option(
            SIGHT_PANEL,
            "--query TEXT",
            "Instruction given to the model in the first turn.",
            callback=unicode_text,
        ),
    ] = DEFAULT.query


@dataclass(frozen=True, slots=True)
class OpeningChoice:
    """What a stream is told before it starts."""

    title: Annotated[
        str,
        option(
            SIGHT_PANEL,
            "--title TEXT",
            "Title of the video, given to the model before the previous text.",
            callback=unicode_text,
            show_default="none",
        ),
    ] = DEFAULT.title
    previous_text: Annotated[
        str,
        option(
            SIGHT_PANEL,
            "--previous-text TEXT|@FILE",
            "What was said before the stream starts; @FILE reads a UTF-8 file.",
            callback=unicode_text,
            show_default="none",
        ),
    ] = DEFAULT.previous_text
    prompt_format: Annotated[
        PromptFormat,
        option(
            SIGHT_PANEL,
            f"--prompt-format {choices(PromptFormat)}",
            "How turns are written. livecc is what LiveCC was trained on; auto takes it for that model.",
        ),
    ] = DEFAULT.prompt_format


@dataclass(frozen=True, slots=True)
class MemoryChoice:
    """What is kept."""

    policy: Annotated[
        Policy,
        option(
            MEMORY_PANEL,
            f"--policy {choices(Policy)}",
            "What the KV cache keeps. streaming: sink, recent text and recent frames; full: everything; "
            "window: everything since the last restart; recompute: the tokens of streaming, computed "
            "afresh at each step.",
        ),
    ] = DEFAULT.policy
    positions: Annotated[
        Positions,
        option(
            MEMORY_PANEL,
            f"--positions {choices(Positions)}",
            "Positions of the kept tokens. contiguous: numbered afresh at each step; growing: as they "
            "first were (an ablation).",
        ),
    ] = DEFAULT.positions
    restart_seconds: Annotated[
        float,
        option(
            MEMORY_PANEL,
            "--restart-seconds SECONDS",
            "Seconds between restarts; policy window only.",
            callback=finite,
        ),
    ] = DEFAULT.restart_seconds
    sink: Annotated[
        int,
        option(
            MEMORY_PANEL,
            "--sink TOKENS",
            "Tokens kept from the beginning of the previous text: the attention sink.",
        ),
    ] = DEFAULT.sink
    text_window: Annotated[
        int,
        option(MEMORY_PANEL, "--text-window TOKENS", "Tokens kept from the end of the previous text."),
    ] = DEFAULT.text_window
    vision_window: Annotated[
        float,
        option(
            MEMORY_PANEL,
            "--vision-window SECONDS",
            "Seconds of recent video whose frames are kept; a multiple of --step-seconds.",
            callback=finite,
        ),
    ] = DEFAULT.vision_window
    rounds: Annotated[
        int,
        option(
            MEMORY_PANEL,
            "--rounds TURNS",
            "Recent turns whose words stay in their turn; older words move to the previous text.",
        ),
    ] = DEFAULT.rounds


@dataclass(frozen=True, slots=True)
class SamplingChoice:
    """How words are drawn."""

    max_new_tokens: MaxNewTokens = WORDS.max_new_tokens
    temperature: Annotated[
        float,
        option(WORDS_PANEL, "--temperature X", "Sampling temperature, above 0.", callback=finite),
    ] = WORDS.temperature
    top_k: Annotated[
        int, option(WORDS_PANEL, "--top-k TOKENS", "Sample from this many most likely tokens.")
    ] = WORDS.top_k
    top_p: Annotated[
        float,
        option(
            WORDS_PANEL,
            "--top-p X",
            "Sample from the most likely tokens that together hold this share of probability, in (0, 1].",
            callback=finite,
        ),
    ] = WORDS.top_p
    repetition_penalty: Annotated[
        float,
        option(
            WORDS_PANEL,
            "--repetition-penalty X",
            "Values above 1 make tokens that are in the context less likely; 1 turns it off.",
            callback=finite,
        ),
    ] = WORDS.repetition_penalty
    silence_threshold: Annotated[
        float | None,
        option(
            WORDS_PANEL,
            "--silence-threshold P",
            "Be silent exactly where silence has at least this probability, between 0 and 1.",
            callback=finite,
            show_default="drawn like any word",
        ),
    ] = WORDS.silence_threshold
    greedy: Annotated[
        bool,
        option(
            WORDS_PANEL,
            "--greedy",
            "Take the most likely token, after the repetition penalty, instead of sampling.",
        ),
    ] = WORDS.greedy
    seed: Seed = WORDS.seed


@dataclass(frozen=True, slots=True)
class PartChoice:
    """Which part of a source is shown, and how fast."""

    start: Annotated[
        float,
        option(SOURCE_PANEL, "--start SECONDS", "Second of the source at which to start.", callback=finite),
    ] = DEFAULT.start
    duration: Annotated[
        float | None,
        option(
            SOURCE_PANEL,
            "--duration SECONDS",
            "How many seconds of the source to stream.",
            callback=finite,
            show_default="to its end",
        ),
    ] = DEFAULT.duration
    pace: Annotated[
        Pace | None,
        option(
            SOURCE_PANEL,
            f"--pace {choices(Pace)}",
            "max: as fast as the model goes; realtime: one second of stream per second.",
            show_default="max for files, realtime for live sources",
        ),
    ] = None
    on_lag: Annotated[
        OnLag,
        option(
            SOURCE_PANEL,
            f"--on-lag {choices(OnLag)}",
            "When the model falls behind at realtime pace. drop: skip seconds as soon as it is 2 "
            "seconds (or a step) behind; wait: let up to 30 seconds queue first.",
        ),
    ] = DEFAULT.on_lag


def stream_settings(
    sight: SightChoice, memory: MemoryChoice, words: SamplingChoice, **more: Any
) -> StreamSettings:
    """The settings of a stream from its groups of options.

    Args:
        more: further settings, and ``max_answer_tokens``.

    Raises:
        UsageError: a value outside its limits.
    """
    answers = more.pop("max_answer_tokens", WORDS.max_answer_tokens)
    sampling = Sampling(**asdict(words), max_answer_tokens=answers)
    return StreamSettings(**asdict(sight), **asdict(memory), sampling=sampling, **more)
