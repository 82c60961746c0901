"""The options of ``svlm stream`` alone: names, units, meanings; defaults are in its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands.options import OUTPUT_PANEL, choices, finite, option, unicode_text
from svlm_cli.settings import Pace, Policy, Positions

SIGHT_PANEL = "What the model sees"
MEMORY_PANEL = "What is kept"
WORDS_PANEL = "Words"
SOURCE_PANEL = "Source"

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
        help="A video file, or a synthetic match: arena:soccer,seed=7,minutes=10.",
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
    Pace,
    option(SOURCE_PANEL, f"--pace {choices(Pace)}", "As fast as the model goes, or one second per second."),
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
Trace = Annotated[
    Path | None,
    option(
        OUTPUT_PANEL,
        "--trace FILE",
        "Write each step's token and position ids, one JSON line per step, for debugging.",
        show_default="none",
    ),
]
