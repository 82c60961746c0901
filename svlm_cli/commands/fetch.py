"""``svlm fetch``: videos into a folder."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.output import TalkConsole, emit
from svlm_cli.errors import SvlmError

if TYPE_CHECKING:
    from svlm_cli.data.fetch import Fetched

EXAMPLES = """Examples:

svlm fetch 'arena:soccer?seed=1000001&minutes=2' --out matches

svlm fetch arena:soccer,seed=1000002,minutes=2 --speak --out matches

svlm fetch final.mp4 recordings/ --sport soccer --out matches"""


def fetch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Video files, folders of them, or arena:SPORT?seed=N&minutes=M."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to fetch into.")] = Path("videos"),
    sport: Annotated[str, typer.Option("--sport", metavar="NAME", help="Noted with every video.")] = "",
    voice: Annotated[
        bool,
        typer.Option("--speak", help="Give matches of the arena a voice (flite or espeak-ng)."),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = False,
) -> None:
    """Fetch videos into a folder, each once; a second run fetches what is missing.

    Writes DIR/videos/ID.mp4 and a line in DIR/videos.jsonl; for a match of the arena also its truth and
    its transcript. Files are copied as they are.
    """
    from svlm_cli.data.fetch import expand
    from svlm_cli.data.fetch import fetch as fetch_one

    console = TalkConsole()
    failed: list[Fetched] = []
    for source in [video for given in sources for video in expand(given)]:
        fetched = fetch_one(source, out, sport=sport, with_voice=voice)
        if fetched.video is None:
            failed.append(fetched)
            console.print(f"failed: {fetched.source}: {fetched.problem}")
        elif json:
            emit(json_module.dumps({"is_new": fetched.is_new, **asdict(fetched.video)}))
        elif not quiet:
            console.print(f"{'fetched' if fetched.is_new else 'have'}: {out / fetched.video.path}")
    if failed:
        raise SvlmError(f"{len(failed)} of the videos could not be fetched; the reasons are above")
