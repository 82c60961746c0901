"""Options of the benchmarks that read data sets, ask addresses and judge; defaults stand with the groups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.commands.bench.options import Batch
from svlm_cli.commands.options import (
    MODEL_PANEL,
    OUTPUT_PANEL,
    On,
    Talk,
    choices,
    finite,
    option,
    unicode_text,
)
from svlm_cli.commands.output import TalkConsole
from svlm_cli.values import decimal

if TYPE_CHECKING:
    from svlm_cli.bench.api.options import ApiOptions
    from svlm_cli.bench.judge.judge import JudgeOptions
    from svlm_cli.settings import Viewing

DATA_PANEL = "Data"
MOST_NAMES, LONGEST_NAME = 3, 60  # of inputs in the name of a folder
API_PANEL = "OpenAI-compatible address"


def _price(value: str) -> str:
    parts = value.split(",")
    prices = [decimal(part) for part in parts]
    if value and (len(prices) != 2 or any(price is None or price < 0 for price in prices)):
        raise typer.BadParameter(f"{value!r} is not two prices like 1.25,10")
    return value


def read_price(value: str) -> tuple[float, float] | None:
    """The two prices of ``--price``; None where none was given."""
    if not value:
        return None
    prompt, completion = value.split(",")
    return float(prompt), float(completion)


class ShowChoice(StrEnum):
    """How a video is shown to a model of your own."""

    STREAMED = "streamed"
    WHOLE = "whole"


class PresetName(StrEnum):
    """Rivals as they were asked in public."""

    GPT_4O_MINI = "gpt-4o-mini"


Videos = Annotated[
    Path | None,
    option(DATA_PANEL, "--videos DIR", "Folder of the videos.", show_default="the folder of the data file"),
]
Limit = Annotated[
    int | None,
    option(
        DATA_PANEL, "--limit N", "Take only the first N items, to try things out.", min=1, show_default="all"
    ),
]
BaseUrl = Annotated[
    str | None,
    option(
        API_PANEL,
        "--base-url URL",
        "The OpenAI-compatible address. The key is read from OPENAI_API_KEY and never stored.",
        show_default="OpenAI's own",
    ),
]
Workers = Annotated[int, option(API_PANEL, "--workers N", "Requests at once.", min=1, max=64)]
PriceOption = Annotated[
    str,
    option(
        API_PANEL,
        "--price IN,OUT",
        "Dollars per million input and output tokens, for the cost estimate.",
        callback=_price,
        show_default="the list price, where svlm knows it",
    ),
]
DryRun = Annotated[
    bool,
    option(
        API_PANEL, "--dry-run", "Print how many calls and tokens it would take and their price; send nothing."
    ),
]
RunName = Annotated[
    str,
    option(
        OUTPUT_PANEL,
        "--name NAME",
        "Name of the row in tables.",
        callback=unicode_text,
        show_default="the policy, or the model of --api",
    ),
]
Results = Annotated[
    Path,
    option(OUTPUT_PANEL, "--out -o DIR", "Folder for results.jsonl. What is stored there is not run again."),
]
Report = Annotated[
    Path | None,
    option(
        OUTPUT_PANEL,
        "--out -o DIR",
        "Folder for votes.jsonl, summary.json, report.md and the plot.",
        show_default="a folder named after the inputs and the judge",
    ),
]
ScoreFolder = Annotated[
    Path | None,
    option(
        OUTPUT_PANEL,
        "--out -o DIR",
        "Folder for summary.json, report.md and the plot.",
        show_default="the folder of the answers, if generate filled it, else one named after them",
    ),
]


@dataclass(frozen=True, slots=True)
class EndpointChoice:
    """Who is asked behind an address, and what it is shown; or how many work with a model, and where."""

    api: Annotated[
        str,
        option(
            API_PANEL,
            "--api MODEL",
            "Ask this model at an OpenAI-compatible address instead of a model of your own.",
            callback=unicode_text,
            show_default="none",
        ),
    ] = ""
    base_url: BaseUrl = None
    preset: Annotated[
        PresetName | None,
        option(
            API_PANEL,
            f"--preset {choices(PresetName)}",
            "Ask that model as the paper asked its rival: 0.25 FPS, 360p, windows of 100 s, no previous "
            "text.",
            show_default="none",
        ),
    ] = None
    api_fps: Annotated[
        float,
        option(API_PANEL, "--api-fps N", "Frames per second shown to that model.", callback=finite),
    ] = 0.25
    api_height: Annotated[
        int,
        option(API_PANEL, "--api-height PIXELS", "Height in pixels that frames are reduced to.", min=28),
    ] = 360
    workers: Annotated[
        int | None,
        option(
            MODEL_PANEL,
            "--workers N",
            "Pieces of work at once: requests with --api; else processes, each with a model of its own, on "
            "this machine or on each node of a cluster.",
            min=1,
            max=64,
            show_default="8 with --api, else 1",
        ),
    ] = None
    on: On = "local"
    price: PriceOption = ""
    dry_run: DryRun = False

    @property
    def requests(self) -> int:
        """At once."""
        return self.workers or 8

    def options(self, query: str, expected_tokens: int, viewing: Viewing) -> ApiOptions:
        """Who is asked to do ``query``, in about so many tokens a reply, and how videos are shown."""
        from svlm_cli.bench.api.options import ApiOptions

        return ApiOptions(
            self.api,
            self.base_url,
            self.requests,
            self.api_fps,
            self.api_height,
            query,
            expected_tokens,
            read_price(self.price),
            viewing,
        )


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """Who judges."""

    judge: Annotated[str, option(API_PANEL, "--judge MODEL", "Model that judges.", callback=unicode_text)] = (
        "gpt-5"
    )
    base_url: BaseUrl = None
    judge_prompt: Annotated[
        Path | None,
        option(
            API_PANEL,
            "--judge-prompt FILE",
            "File with the judge's prompt, in which {reference}, {a}, {b} and, if it is there, {title} "
            "stand for the texts.",
            show_default="svlm's own wording",
        ),
    ] = None
    workers: Workers = 8
    price: PriceOption = ""
    dry_run: DryRun = False

    def options(self) -> JudgeOptions:
        """How the judge is asked."""
        from svlm_cli.bench.judge.judge import JudgeOptions

        return JudgeOptions(self.judge, self.base_url, self.workers, read_price(self.price))

    def template(self) -> str | None:
        """The wording of ``--judge-prompt``; None for the benchmark's own.

        Raises:
            SvlmError: the file cannot be read, or lacks a place for a text.
        """
        from svlm_cli.bench.judge.contests import load_template

        return load_template(self.judge_prompt) if self.judge_prompt else None


@dataclass(frozen=True, slots=True)
class Shown:
    """How videos are shown to a model of your own, and asked about."""

    show: Annotated[
        ShowChoice,
        option(
            MODEL_PANEL,
            f"--show {choices(ShowChoice)}",
            "streamed: stream the video once and ask on the way; whole: show frames from all of the "
            "video up to the question in one prompt.",
        ),
    ] = ShowChoice.STREAMED
    max_frames: Annotated[
        int,
        option(MODEL_PANEL, "--max-frames N", "Limit on the frames of --show whole.", min=2, max=8192),
    ] = 64
    recent_frames: Annotated[
        int,
        option(
            MODEL_PANEL,
            "--recent-frames N",
            "Also ask with only the last N frames, one a second, as a baseline row; 0 leaves it out.",
            min=0,
            max=1024,
        ),
    ] = 4
    speak: Annotated[
        bool,
        option(
            MODEL_PANEL,
            "--speak",
            "Speak every second of the stream, as svlm stream does; without this the model watches in "
            "silence.",
        ),
    ] = False
    max_answer_tokens: Annotated[
        int, option(MODEL_PANEL, "--max-answer-tokens TOKENS", "Limit on the tokens of an answer.", min=1)
    ] = 64
    batch: Batch = 1


def score_folder(out: Path | None, results: Sequence[Path], other: str, talk: Talk) -> Path:
    """Where scores go: ``out``, else the only folder of answers of our own, else one of the inputs' name."""
    if out is not None:
        return out
    from svlm_cli.bench.common.results import RESULTS_NAME

    if len(results) == 1 and (results[0] / RESULTS_NAME).is_file():
        return results[0]
    return own_folder(None, other, results, talk)


def own_folder(out: Path | None, beginning: str, inputs: Sequence[object], talk: Talk) -> Path:
    """``out``, else a folder that belongs to these inputs alone, of which is told.

    Args:
        out: as it was asked for; None for a fitting one.
        beginning: how its name begins.
        inputs: paths and other plain values that decide the figures.
        talk: whether to say where they go.
    """
    if out is not None:
        return out
    from svlm_cli.digest import digest

    whole = [str(each.resolve()) if isinstance(each, Path) else str(each) for each in inputs]
    names = [each.resolve().stem for each in inputs if isinstance(each, Path)]
    told = re.sub(r"[^\w.-]+", "_", "-".join(names[:MOST_NAMES]))[:LONGEST_NAME]
    folder = Path(f"{beginning}-{told}-{digest(whole, 6)}")
    if not talk.quiet:
        TalkConsole().tell(f"figures and plots go to {folder}", "dim")
    return folder
