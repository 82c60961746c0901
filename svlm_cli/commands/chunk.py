"""``svlm chunk``: transcripts and videos to training chunks."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.output import emit
from svlm_cli.errors import UsageError

EXAMPLES = """Examples:

svlm chunk videos --out dataset

svlm chunk matches --out dataset --min-words-per-second 0 --split 0.1"""


def chunk(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What svlm fetch and svlm align wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="Folder of the data set.")] = Path(
        "dataset"
    ),
    window: Annotated[int, typer.Option("--window", min=1, help="Seconds of a chunk.")] = 24,
    overlap: Annotated[int, typer.Option("--overlap", min=0, help="Seconds shared with the next.")] = 12,
    min_words_per_second: Annotated[
        float, typer.Option("--min-words-per-second", min=0.0, help="Leave out chunks with fewer words.")
    ] = 2.0,
    sink: Annotated[
        int, typer.Option("--sink", min=0, help="Tokens that can be kept of the start of earlier commentary.")
    ] = 512,
    text_window: Annotated[
        int, typer.Option("--text-window", min=0, help="Tokens that can be kept of its end.")
    ] = 512,
    split: Annotated[
        float, typer.Option("--split", min=0.0, max=1.0, help="Share of the videos held out as valid_*.")
    ] = 0.02,
    annealing: Annotated[
        bool,
        typer.Option(
            "--annealing",
            help="For the annealing stage: clips of 16 to 64 s that speak on, mostly live commentary in the "
            "judgement of svlm align --clean llm; --window and --overlap do not count.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of held-out videos.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = False,
) -> None:
    """Cut commentated videos into overlapping chunks to train on, in the layout of Inf-Stream-Train."""
    if overlap >= window:
        raise UsageError(f"--overlap {overlap} must be less than --window {window}")
    from svlm_cli.data.chunking import chunk_folder
    from svlm_cli.data.chunks import ChunkRule

    report = chunk_folder(
        folder,
        out,
        ChunkRule(window, overlap, sink, text_window),
        min_words_per_second=min_words_per_second,
        valid_share=split,
        seed=seed,
        annealing=annealing,
    )
    if json:
        emit(json_module.dumps(asdict(report)))
        return
    if quiet:
        return
    for part in report.splits:
        emit(
            f"{part.name}: {part.num_chunks} chunks of {part.num_videos} videos, {part.hours:.2f} h, "
            f"{part.words_per_second:.2f} words/s, {100 * part.silent_share:.0f} % of seconds silent"
        )
    for what, reasons in (("chunks", report.dropped_chunks), ("videos", report.dropped_videos)):
        for reason, count in reasons.items():
            emit(f"dropped {what}: {count} ({reason})")
