"""``svlm align``: speech to words to seconds."""

from __future__ import annotations

import json as json_module
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.align_view import AlignView
from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import Talk
from svlm_cli.commands.output import TalkConsole, emit, leaving_at_once, prints_are_talk, tell_left_out
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.language import language_code
from svlm_cli.settings import Clean
from svlm_cli.work.place import parse_place

if TYPE_CHECKING:
    from svlm_cli.data.words.aligner import Aligned, AlignOptions

EXAMPLES = """
# needs: the hub, for a Whisper model
svlm align matches
svlm align talk.mp4 interview.wav --formats srt,txt
svlm align matches --whisper-model tiny.en --workers 2 --clean off
svlm align matches --transcript-from captions   # needs: fetched captions
# needs: an address
svlm align matches --clean llm --llm-model gpt-5 --llm-base-url http://127.0.0.1:8000/v1"""

SPEECH, TEXT = "Speech", "Cleaning"


class WhisperDevice(StrEnum):
    """Where Whisper computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Speech:
    """Whose words, and who hears them."""

    transcript_from: Annotated[
        str | None,
        typer.Option(
            "--transcript-from",
            metavar="captions|FILE|DIR",
            help="Use transcripts made elsewhere instead of transcribing: captions (those that svlm "
            "fetch --subtitles saved, or the video's own), a file, or a folder of files named by video id "
            "(VTT, SRT, WhisperX or SoccerNet-Echoes JSON).",
            show_default="listen",
        ),
    ] = None
    language: Annotated[
        str,
        typer.Option(
            "--language",
            metavar="LANG",
            help="Language of the commentary (en; eng and en-GB mean the same). Videos in another language "
            "are refused.",
        ),
    ] = "en"
    audio_track: Annotated[
        str,
        typer.Option(
            "--audio-track",
            metavar="auto|N|LANG",
            help="Sound track: its number in the file, from 1, or its language. auto: of those that belong "
            "to the pictures, the default one, else one in --language, else the first.",
        ),
    ] = "auto"
    formats: Annotated[
        str | None,
        typer.Option(
            "--formats",
            metavar="json,vtt,srt,txt",
            help="Formats to write transcripts in.",
            show_default="all beside a file; json in a folder that svlm fetch filled",
        ),
    ] = None
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            help="Videos transcribed at once; they share the CPU cores. On a cluster: on each node.",
        ),
    ] = 1
    on: options.On = "local"
    whisper_model: Annotated[
        str, options.option(SPEECH, "--whisper-model NAME|DIR", "Name or folder of the faster-whisper model.")
    ] = "large-v3-turbo"
    device: Annotated[
        WhisperDevice,
        options.option(SPEECH, f"--device {options.choices(WhisperDevice)}", "Device that transcribes."),
    ] = WhisperDevice.AUTO
    compute_type: Annotated[
        str,
        options.option(
            SPEECH,
            "--compute-type TYPE",
            "Number format of the Whisper model; auto is int8 on a CPU, float16 on a GPU.",
        ),
    ] = "auto"
    threads: Annotated[
        int | None,
        options.option(
            SPEECH, "--threads N", "CPU threads of all workers together.", min=1, show_default="all cores"
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is done to the words."""

    clean: Annotated[
        Clean,
        options.option(
            TEXT,
            f"--clean {options.choices(Clean)}",
            "rules: drop fillers, descriptions of sound and other languages. llm: do the same, then "
            "have a language model keep, edit or delete each sentence. Repetition loops of the "
            "recogniser are always dropped.",
        ),
    ] = Clean.RULES
    llm_model: Annotated[
        str | None,
        options.option(
            TEXT, "--llm-model NAME", "Language model that --clean llm asks.", show_default="none"
        ),
    ] = None
    llm_base_url: Annotated[
        str | None,
        options.option(
            TEXT,
            "--llm-base-url URL",
            "OpenAI-compatible address of that model.",
            show_default="OpenAI's own",
        ),
    ] = None
    llm_workers: Annotated[
        int, options.option(TEXT, "--llm-workers N", "Requests to that model at once.", min=1)
    ] = 4


@grouped
def align(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR|FILE...",
            help="Folder that svlm fetch filled; or files of video or sound, or a folder of them.",
            show_default=False,
        ),
    ],
    *,
    speech: Speech,
    cleaning: Cleaning,
    talk: Talk,
) -> None:
    """Give every video a transcript: words with their times, and what is said in each second.

    For a folder that svlm fetch filled, writes DIR/transcripts/ID.json and a report (DIR/align.json); for any
    other file, NAME.json, NAME.vtt, NAME.srt and NAME.txt beside it. A second run does only what is missing,
    and transcribes nothing in such a folder twice. --clean llm takes its key from OPENAI_API_KEY.
    """
    from svlm_cli.data.words import aligner as data
    from svlm_cli.data.words.report import report

    if (cleaning.clean is Clean.LLM) != (cleaning.llm_model is not None):
        raise UsageError("--clean llm and --llm-model NAME go together")
    console = TalkConsole()
    with (
        leaving_at_once(console),
        prints_are_talk(verbose=talk.verbose),
        AlignView(console, is_quiet=talk.quiet) as view,
    ):
        results = []
        folder, found = _results(paths, _options(speech, cleaning), speech, console, is_quiet=talk.quiet)
        with closing(found):
            for result in found:
                view.show(result)
                results.append(result)
    account = report(folder, results, view.wall_seconds)
    if talk.json:
        emit(json_module.dumps(asdict(account)))
    elif not talk.quiet:
        for line in account.lines():
            emit(line)
    unreadable = sum(result.reason.startswith(data.UNREADABLE) for result in results)
    if unreadable and not any(result.transcript for result in results):
        raise SvlmError(f"no video has a transcript: {unreadable} of {len(results)} could not be read")
    failed = sum(result.outcome is data.AlignOutcome.FAILED for result in results)
    if failed:
        raise SvlmError(f"{failed} of {len(results)} videos could not be aligned; the reasons are above")


def _options(speech: Speech, cleaning: Cleaning) -> AlignOptions:
    from svlm_cli.data.words.aligner import AlignOptions
    from svlm_cli.data.words.clean_llm import LlmOptions
    from svlm_cli.data.words.transcribe import WhisperOptions

    return AlignOptions(
        WhisperOptions(
            speech.whisper_model,
            speech.device.value,
            speech.compute_type,
            language_code(speech.language),
            speech.workers,
            speech.threads,
        ),
        speech.transcript_from,
        cleaning.clean,
        None
        if cleaning.llm_model is None
        else LlmOptions(cleaning.llm_model, cleaning.llm_base_url, cleaning.llm_workers),
        speech.audio_track,
    )


def _results(
    paths: Sequence[Path], wanted: AlignOptions, speech: Speech, console: TalkConsole, *, is_quiet: bool
) -> tuple[Path | None, Generator[Aligned, None, None]]:
    """What becomes of each video or file, and the folder of the videos, if there is one."""
    from svlm_cli.data.manifest import Manifest
    from svlm_cli.data.words.align import STORE, align_folder
    from svlm_cli.data.words.beside import align_files, recordings
    from svlm_cli.data.words.outputs import FORMATS, JSON, parse_formats

    forms = parse_formats(speech.formats) if speech.formats is not None else None
    place = parse_place(speech.on)
    folders = [path for path in paths if Manifest(path).exists]
    if folders and len(paths) > 1:
        raise UsageError(f"{folders[0]} is a folder that svlm fetch filled", "name it alone")
    if folders:
        return folders[0], align_folder(folders[0], wanted, forms or (JSON,), place)
    files, left_out = recordings(paths)
    for folder, names in left_out if not is_quiet else []:
        tell_left_out(console, folder, names, "neither video nor sound")
    return None, align_files(files, wanted, forms or FORMATS, files[0].parent / STORE / "llm", place)
