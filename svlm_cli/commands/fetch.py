"""``svlm fetch``: videos into a folder."""

from __future__ import annotations

import json as json_module
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.fetch_view import FetchView
from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import Talk
from svlm_cli.commands.output import TalkConsole, emit, leaving_at_once, prints_are_talk, tell_left_out
from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.work.place import parse_place

if TYPE_CHECKING:
    from svlm_cli.media.web.download import DownloadOptions

EXAMPLES = """
# needs: the network
svlm fetch 'https://www.youtube.com/playlist?list=...' --sport soccer --subtitles --out matches
svlm fetch 'ytsearch5:full basketball game' @more.txt --max-height 480 --workers 4 --out matches
# needs: nothing else
svlm fetch final.mp4 recordings/ --sport soccer --out matches
svlm fetch 'arena:soccer?seed=1000001&minutes=2' --speak --out matches"""

WEB = "From the web"


@dataclass(frozen=True, slots=True)
class How:
    """What is fetched, and where to."""

    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to fetch into.")] = Path(
        "videos"
    )
    sport: Annotated[str, typer.Option("--sport", metavar="NAME", help="Sport to note with every video.")] = (
        ""
    )
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Videos fetched at once. On a cluster: by each node.")
    ] = 2
    on: options.On = "local"
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Limit on the videos of one SOURCE.", show_default="all of them"),
    ] = None
    audio: Annotated[
        bool, typer.Option("--keep-audio/--no-audio", help="Keep the sound, or only the pictures.")
    ] = True
    audio_track: Annotated[
        str,
        typer.Option(
            "--audio-track",
            metavar="auto|N|LANG",
            help="Keep one sound track alone: its number in the file, from 1, or language; auto: all.",
        ),
    ] = "auto"
    voice: Annotated[
        bool,
        typer.Option("--speak", help="Give matches of the arena a spoken commentary, by flite or espeak-ng."),
    ] = False


@dataclass(frozen=True, slots=True)
class Web:
    """What is taken from the web, and how."""

    max_height: Annotated[
        int,
        options.option(
            WEB, "--max-height", "Greatest height of the video, in lines, where a site offers several.", min=1
        ),
    ] = 720
    subtitles: Annotated[
        bool,
        options.option(
            WEB,
            "--subtitles",
            "Also fetch captions, or copy those beside a file, for svlm align --transcript-from captions.",
        ),
    ] = False
    subtitle_language: Annotated[
        str,
        options.option(
            WEB, "--subtitle-language LANG", "Language of the captions (en, eng, en-GB: all one)."
        ),
    ] = "en"
    cookies: Annotated[
        Path | None,
        options.option(
            WEB,
            "--cookies FILE",
            "Cookie file of a logged-in browser, in Netscape's format.",
            show_default="none",
        ),
    ] = None
    browser: Annotated[
        str | None,
        options.option(
            WEB,
            "--cookies-from-browser BROWSER",
            "Take the cookies from this browser, e.g. firefox.",
            show_default="none",
        ),
    ] = None
    rate_limit: Annotated[
        str | None,
        options.option(
            WEB,
            "--rate-limit RATE",
            "Bytes per second of all workers of a machine together, e.g. 5M.",
            show_default="no limit",
        ),
    ] = None


@grouped
def fetch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Addresses (video, playlist, channel, file, HLS), searches (ytsearch5:WORDS), lists "
            "(@list.txt), video files, folders of them, or matches of the arena "
            "(arena:SPORT?seed=N&minutes=M).",
            show_default=False,
        ),
    ],
    *,
    how: How,
    web: Web,
    talk: Talk,
) -> None:
    """Fetch videos into a folder, each once; a second run fetches what is missing and resumes halves.

    Writes DIR/videos/ID.mp4 (other suffixes where the site has no mp4) and a line in DIR/videos.jsonl once
    the file is whole and probed; for a match of the arena also its truth and its transcript. Local files are
    copied as they are. What fails is named and the others go on; the exit code is then 1.
    """
    from svlm_cli.data.fetch.folder import expand, fetch_all
    from svlm_cli.data.fetch.one import FetchOptions, is_web_address
    from svlm_cli.media.web.checks import preflight

    download, place = _download_options(how, web), parse_place(how.on)
    console = TalkConsole()
    wanted = expand(sources, partial(tell_left_out, console, kind="no video"))
    if not talk.quiet and any(is_web_address(source) for source in wanted):
        console.tell("; ".join(preflight()))
    results = []
    with (
        leaving_at_once(console),
        prints_are_talk(verbose=talk.verbose),
        FetchView(console, is_quiet=talk.quiet) as view,
    ):
        chosen = FetchOptions(how.sport, how.voice, how.workers, download)
        with closing(fetch_all(wanted, how.out, chosen, view.progress, place)) as found:
            for result in found:
                view.show(result, how.out)
                results.append(result)
    failed = [result for result in results if result.video is None]
    if talk.json:
        had = [
            {"is_new": each.is_new, **asdict(each.video)} | ({"note": each.note} if each.note else {})
            for each in results
            if each.video is not None
        ]
        problems = [{"source": each.source, "problem": each.problem} for each in failed]
        emit(json_module.dumps({"videos": had, "failed": problems}))
    if failed:
        view.list_failures(failed)
        raise SvlmError(f"{len(failed)} of {len(results)} videos could not be fetched; the reasons are above")


def _download_options(how: How, web: Web) -> DownloadOptions:
    from svlm_cli.media.tracks import SoundChoice
    from svlm_cli.media.web.checks import browser_cookies, check_cookies, parse_rate
    from svlm_cli.media.web.download import DownloadOptions

    if web.browser is not None:
        browser_cookies(web.browser)
    jar = None if web.cookies is None else _read(web.cookies)
    if jar is not None:
        check_cookies(jar, str(web.cookies))
    return DownloadOptions(
        max_height=web.max_height,
        with_audio=how.audio,
        audio_track=SoundChoice(how.audio_track).track,
        subtitle_language=web.subtitle_language if web.subtitles else None,
        bytes_per_second=None
        if web.rate_limit is None
        else max(1, parse_rate(web.rate_limit) // how.workers),
        cookies=jar,
        browser=web.browser,
        limit=how.limit,
    )


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, MalformedError) as error:
        raise UsageError(f"--cookies {path} cannot be read: {error}") from error
