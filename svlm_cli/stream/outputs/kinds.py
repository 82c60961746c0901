"""The kinds of outputs, by their suffixes, and which files may be one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from svlm_cli.errors import UsageError
from svlm_cli.stream.outputs.contract import Production
from svlm_cli.stream.outputs.cues import CueStyle
from svlm_cli.stream.outputs.film import Film
from svlm_cli.stream.outputs.formats import FORMATS
from svlm_cli.stream.outputs.playlist import CaptionPlaylist
from svlm_cli.stream.outputs.voice import VoiceFile

PRODUCTIONS: Mapping[str, Callable[[Path, CueStyle, str | None], Production]] = {
    ".m3u8": lambda path, style, _voice: CaptionPlaylist(path, style),
    ".wav": lambda path, _style, voice: VoiceFile(path, voice or ""),
    ".mp4": Film,
}


def require_known(paths: Sequence[Path]) -> None:
    """Make sure that every output's suffix is known.

    Raises:
        UsageError: one is not.
    """
    for path in paths:
        if path.suffix.lower() not in (known := [*FORMATS, *PRODUCTIONS]):
            raise UsageError(f"--out {path} must end in {', '.join(known)}", "try --out words.vtt")


def require_distinct(
    paths: Sequence[Path], source: str, inputs: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Make sure that no output is another one, the source, or one of ``inputs``, by what they are.

    Raises:
        UsageError: one is.
    """
    taken = {os.path.realpath(path): what for what, path in inputs.items()}
    taken[os.path.realpath(source)] = "the source"
    for path in paths:
        real = os.path.realpath(path)
        if real in taken:
            raise UsageError(f"the output {path} is the same file as {taken[real]}", "name another file")
        taken[real] = "another output"
