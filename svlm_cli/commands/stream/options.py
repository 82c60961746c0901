"""The options of ``svlm stream`` alone: names, units, meanings; defaults are in its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands.options import OUTPUT_PANEL, choices, finite, option, unicode_text
from svlm_cli.media.address import RtspTransport
from svlm_cli.settings import OnLag, Pace, Policy, Positions

SIGHT_PANEL = "What the model sees"
MEMORY_PANEL = "What is kept"
WORDS_PANEL = "Words"
SOURCE_PANEL = "Source"
ASKING_PANEL = "Questions and page"
STATE_PANEL = "State"

LARGEST_SEED = 2**63 - 1  # what torch.manual_seed takes


def _seed(value: int) -> int:
    if not 0 <= value <= LARGEST_SEED:
        raise typer.BadParameter(f"{value} is not in 0 to {LARGEST_SEED}")
    return value


# What the model sees.
Fps = Annotated[
    float,
    option(
        SIGHT_PANEL,
        "--fps N",
        "Frames per second shown to the model; times --step-seconds it is an even whole number.",
        callback=finite,
    ),
]
StepSeconds = Annotated[
    float,
    option(SIGHT_PANEL, "--step-seconds SECONDS", "Length of one turn, in seconds.", callback=finite),
]
MinPixels = Annotated[
    int | None,
    option(
        SIGHT_PANEL,
        "--min-pixels N",
        "Fewest pixels a frame is resized to.",
        min=1,
        show_default="as trained: 78400 (100 x 28 x 28)",
    ),
]
MaxPixels = Annotated[
    int | None,
    option(
        SIGHT_PANEL,
        "--max-pixels N",
        "Most pixels a frame is resized to.",
        min=1,
        show_default="as trained: 602112 (768 x 28 x 28)",
    ),
]
DropStatic = Annotated[
    float | None,
    option(
        SIGHT_PANEL,
        "--drop-static LEVELS",
        "Leave out vision tokens whose pixels changed by no more than this, in grey levels (0 to 255, mean).",
        callback=finite,
        show_default="off",
    ),
]
Query = Annotated[
    str,
    option(SIGHT_PANEL, "--query TEXT", "What to do, said in the first turn.", callback=unicode_text),
]
Title = Annotated[
    str,
    option(
        SIGHT_PANEL,
        "--title TEXT",
        "Title of the video, put before the previous text.",
        callback=unicode_text,
        show_default="none",
    ),
]
PreviousText = Annotated[
    str,
    option(
        SIGHT_PANEL,
        "--previous-text TEXT|@FILE",
        "What was said before the stream starts; @FILE reads a UTF-8 file.",
        callback=unicode_text,
        show_default="none",
    ),
]

# What is kept.
PolicyOption = Annotated[
    Policy,
    option(MEMORY_PANEL, f"--policy {choices(Policy)}", "What the cache keeps as the stream goes on."),
]
PositionsOption = Annotated[
    Positions,
    option(
        MEMORY_PANEL,
        f"--positions {choices(Positions)}",
        "Where kept tokens stand: side by side, or (an ablation) where they first stood.",
    ),
]
RestartSeconds = Annotated[
    float,
    option(
        MEMORY_PANEL,
        "--restart-seconds SECONDS",
        "Start afresh this often, in seconds; policy window only.",
        callback=finite,
    ),
]
Sink = Annotated[int, option(MEMORY_PANEL, "--sink TOKENS", "Tokens of previous text kept at its head.")]
TextWindow = Annotated[
    int,
    option(MEMORY_PANEL, "--text-window TOKENS", "Tokens of previous text kept at its tail."),
]
VisionWindow = Annotated[
    float,
    option(
        MEMORY_PANEL,
        "--vision-window SECONDS",
        "Seconds whose frames are kept; a multiple of --step-seconds.",
        callback=finite,
    ),
]
Rounds = Annotated[int, option(MEMORY_PANEL, "--rounds TURNS", "Last turns whose words stay in place.")]

# Words.
MaxNewTokens = Annotated[
    int, option(WORDS_PANEL, "--max-new-tokens TOKENS", "Most tokens spoken in one step.")
]
Temperature = Annotated[
    float,
    option(WORDS_PANEL, "--temperature X", "Sampling temperature, above 0.", callback=finite),
]
TopK = Annotated[int, option(WORDS_PANEL, "--top-k TOKENS", "Draw from this many best tokens.")]
TopP = Annotated[
    float,
    option(
        WORDS_PANEL,
        "--top-p X",
        "Draw from the best tokens that hold this share of probability, in (0, 1].",
        callback=finite,
    ),
]
RepetitionPenalty = Annotated[
    float,
    option(
        WORDS_PANEL,
        "--repetition-penalty X",
        "Above 1 makes tokens already kept less likely; 1 is off.",
        callback=finite,
    ),
]
Greedy = Annotated[
    bool,
    option(
        WORDS_PANEL, "--greedy", "Take the best token, after the repetition penalty, instead of drawing one."
    ),
]
Seed = Annotated[
    int,
    option(WORDS_PANEL, "--seed N", "The same seed gives the same words.", min=0, max=LARGEST_SEED),
]

# Source.
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A video file; an address (HTTP, HLS, RTSP, RTMP, UDP) or a page that yt-dlp knows; "
        "camera:0 or /dev/video0; - for standard input; a synthetic match: arena:soccer,seed=7,minutes=10.",
        show_default=False,
    ),
]
Start = Annotated[
    float,
    option(SOURCE_PANEL, "--start SECONDS", "First second of the source to show.", callback=finite),
]
Duration = Annotated[
    float | None,
    option(
        SOURCE_PANEL,
        "--duration SECONDS",
        "Seconds of the source to show.",
        callback=finite,
        show_default="to its end",
    ),
]
PaceOption = Annotated[
    Pace | None,
    option(
        SOURCE_PANEL,
        f"--pace {choices(Pace)}",
        "As fast as the model goes, or one second per second.",
        show_default="max for files, realtime for live sources",
    ),
]
OnLagOption = Annotated[
    OnLag,
    option(
        SOURCE_PANEL,
        f"--on-lag {choices(OnLag)}",
        "When the model is late at realtime pace: leave seconds out as soon as it is 2 seconds (or a step) "
        "behind, or let up to 30 seconds wait first.",
    ),
]
RtspTransportOption = Annotated[
    RtspTransport,
    option(SOURCE_PANEL, f"--rtsp-transport {choices(RtspTransport)}", "How pictures come over RTSP."),
]
StallSeconds = Annotated[
    float,
    option(
        SOURCE_PANEL,
        "--stall-seconds SECONDS",
        "A live source that sends no picture for so long counts as lost.",
        callback=finite,
    ),
]
ReconnectSeconds = Annotated[
    float,
    option(
        SOURCE_PANEL,
        "--reconnect-seconds SECONDS",
        "How long to try to get a lost live source back; 0 for not at all.",
        callback=finite,
    ),
]
MaxHeight = Annotated[
    int,
    option(SOURCE_PANEL, "--max-height PIXELS", "Of the pictures, where a page offers several.", min=1),
]

# Questions and page.
Ask = Annotated[
    bool, option(ASKING_PANEL, "--ask", "Type questions while it runs, one a line, on standard input.")
]
AskFile = Annotated[
    Path | None,
    option(
        ASKING_PANEL,
        "--ask-file FILE",
        'Ask what stands in a file, one line each: seconds and question, e.g. "12.0 Who scored?"',
        show_default="none",
    ),
]
MaxAnswerTokens = Annotated[
    int, option(ASKING_PANEL, "--max-answer-tokens TOKENS", "Most tokens of the answer to a question.")
]
Serve = Annotated[
    str | None,
    option(
        ASKING_PANEL,
        "--serve HOST:PORT",
        "Show picture, words, speed and an ask box on a web page; off loopback it asks for a token, which is "
        "printed, or taken from SVLM_PAGE_TOKEN.",
        show_default="none; HOST 127.0.0.1",
    ),
]

# State.
SaveState = Annotated[
    Path | None,
    option(STATE_PANEL, "--save-state FILE", "Keep the state in a file, to go on from.", show_default="none"),
]
SaveEvery = Annotated[
    float,
    option(
        STATE_PANEL,
        "--save-every SECONDS",
        "How often, beside the end of the stream, in seconds of wall time.",
        callback=finite,
    ),
]
Resume = Annotated[
    Path | None,
    option(
        STATE_PANEL,
        "--resume FILE",
        "Go on exactly where the stream of a saved state stopped; outputs of the same names are continued.",
        show_default="none",
    ),
]

# Output.
Out = Annotated[
    list[Path] | None,
    option(
        OUTPUT_PANEL,
        "--out FILE",
        "Write captions (.vtt, .srt) or events (.jsonl) as the stream goes; repeat for several.",
        show_default="none",
    ),
]
Overwrite = Annotated[
    bool,
    option(
        OUTPUT_PANEL,
        "--overwrite",
        "Replace outputs that are there; else words.vtt is kept as words.vtt.1. Resumed ones go on.",
    ),
]
Trace = Annotated[
    Path | None,
    option(
        OUTPUT_PANEL,
        "--trace FILE",
        "Write each step's token and position ids, one JSON line per step, for debugging.",
        show_default="none",
    ),
]
