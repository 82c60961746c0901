"""``svlm chunk``: transcripts and videos to training chunks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import Talk
from svlm_cli.commands.output import TalkConsole, emit
from svlm_cli.errors import UsageError
from svlm_cli.language import language_code
from svlm_cli.settings import PictureStyle, Reader, Viewing
from svlm_cli.text import as_json

EXAMPLES = """
svlm chunk matches --out dataset
svlm chunk matches --out dataset --min-words-per-second 0 --split 0.1
svlm chunk transcripts --no-video-check --out dataset
svlm chunk matches --out dataset --annealing   # needs: cleaned transcripts"""


class Layout(StrEnum):
    """How a data set is stored."""

    INF_STREAM = "inf-stream"
    LIVECC = "livecc"


@dataclass(frozen=True, slots=True)
class Cut:
    """How videos are cut, and which."""

    out: Annotated[Path, typer.Option("--out", "-o", metavar="DATASET", help="Folder of the data set.")] = (
        Path("dataset")
    )
    window: Annotated[
        int, typer.Option("--window", min=1, max=3600, help="Length of a chunk, in seconds.")
    ] = 24
    overlap: Annotated[
        int, typer.Option("--overlap", min=0, help="Seconds that a chunk shares with the next one.")
    ] = 12
    min_words_per_second: Annotated[
        float,
        typer.Option(
            "--min-words-per-second",
            min=0.0,
            help="Leave out chunks with fewer words per second than this.",
            callback=options.finite,
        ),
    ] = 2.0
    sink: Annotated[
        int,
        typer.Option(
            "--sink",
            min=0,
            help="Tokens stored with each chunk from the beginning of the earlier commentary.",
        ),
    ] = 512
    text_window: Annotated[
        int,
        typer.Option(
            "--text-window",
            min=0,
            help="Tokens stored with each chunk from the end of the earlier commentary.",
        ),
    ] = 512
    split: Annotated[
        float,
        typer.Option(
            "--split", min=0.0, max=1.0, help="Share of the videos, from 0 to 1, held out as valid_*."
        ),
    ] = 0.02
    annealing: Annotated[
        bool,
        typer.Option(
            "--annealing",
            help="Cut clips for the annealing stage: 16 to 64 s of continuous speech, mostly live commentary "
            "as judged by svlm align --clean llm. --window and --overlap are not used.",
        ),
    ] = False
    no_video_check: Annotated[
        bool,
        typer.Option(
            "--no-video-check",
            help="Do not look for the video files. Without this option a video whose file is missing is left "
            "out and counted.",
        ),
    ] = False
    reader: Annotated[
        Reader,
        typer.Option(
            "--reader",
            metavar=options.choices(Reader),
            help="Open every video with it, and leave out those that it cannot read or shows wrongly; auto "
            "opens none.",
        ),
    ] = Reader.AUTO
    pictures: Annotated[
        PictureStyle,
        typer.Option(
            "--pictures",
            metavar=options.choices(PictureStyle),
            help="How they will be shown in training; with --reader.",
        ),
    ] = PictureStyle.DISPLAY
    language: Annotated[
        str,
        typer.Option(
            "--language",
            metavar="LANG",
            help="Language of transcripts made elsewhere (en; eng and en-GB mean the same); those in another "
            "language are left out, as svlm align does.",
        ),
    ] = "en"
    format: Annotated[
        Layout,
        typer.Option(
            "--format",
            metavar=options.choices(Layout),
            help="Layout of the data set: that of the published Inf-Stream-Train, or the same with the "
            "samples' offsets as the last line, as LiveCC's trainer reads them.",
        ),
    ] = Layout.INF_STREAM
    seed: Annotated[int, typer.Option("--seed", help="Seed for choosing the held-out videos.")] = 0


@grouped
def chunk(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder that svlm fetch and svlm align filled; with --no-video-check also a folder of "
            "transcripts alone, named by video id (VTT, SRT, WhisperX or SoccerNet-Echoes JSON, or "
            "those of svlm align).",
            show_default=False,
        ),
    ],
    *,
    cut: Cut,
    talk: Talk,
) -> None:
    """Cut commentated videos into overlapping chunks to train on, in the layout of Inf-Stream-Train.

    Writes train_s12w24_with_seeks.jsonl and train_s12w24_seeks.jsonl (numbered by stride and window), the
    same as valid_* for the held-out videos, and report.json: hours, words per second, silent seconds, and
    what was left out, by reason. All files appear together, once everything is written.
    """
    if cut.overlap >= cut.window:
        raise UsageError(f"--overlap {cut.overlap} must be less than --window {cut.window}")
    if cut.no_video_check and cut.reader is not Reader.AUTO:
        raise UsageError(f"--reader {cut.reader.value} opens videos: --no-video-check does not go with it")
    from svlm_cli.data.chunks.chunk import ChunkRule
    from svlm_cli.data.chunks.chunking import chunk_folder

    console = TalkConsole()
    status = console.status("cutting ...")
    if console.is_terminal and not talk.quiet:
        status.start()
    try:
        report = chunk_folder(
            folder,
            cut.out,
            ChunkRule(cut.window, cut.overlap, cut.sink, cut.text_window),
            min_words_per_second=cut.min_words_per_second,
            valid_share=cut.split,
            seed=cut.seed,
            annealing=cut.annealing,
            check_videos=not cut.no_video_check,
            language=language_code(cut.language),
            viewing=Viewing(cut.pictures, reader=cut.reader),
            index_last=cut.format is Layout.LIVECC,
            on_progress=lambda done, num_videos: status.update(
                f"cutting video {done + 1} of {num_videos} ..."
            ),
        )
    finally:
        status.stop()
    if talk.json:
        emit(as_json(asdict(report)))
    elif not talk.quiet:
        for line in report.lines():
            emit(line)
