"""What of a file is kept in the folder of videos."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from svlm_cli.files import whole_file
from svlm_cli.media.file.remux import copy_tracks, target_suffix
from svlm_cli.media.probe import open_container
from svlm_cli.media.tracks import AUTO, SoundChoice
from svlm_cli.media.web.download import DownloadOptions


def _copy(media: Path, path: Path) -> None:
    with whole_file(path) as partial:
        shutil.copyfile(media, partial)


def keep_media(
    media: Path,
    folder: Path,
    video_id: str,
    wanted: DownloadOptions,
    take: Callable[[Path, Path], None] = _copy,
) -> Path:
    """Put a video in its place: as it is, or its pictures with the sound that is wanted alone.

    Args:
        media: whole.
        folder: the folder of the videos.
        video_id: names it.
        wanted: says which sound.
        take: puts a file as it is in a place; the default copies.

    Raises:
        SourceError: the sound asked for is not there, or no container holds what is.
    """
    with closing(open_container(str(media))) as video:
        num_sounds = len(video.container.streams.audio)
    if num_sounds == 0 or (wanted.with_audio and wanted.audio_track == AUTO):
        path = folder / f"{video_id}{media.suffix.lower()}"
        take(media, path)
        return path
    path = folder / f"{video_id}{target_suffix(media)}"
    with whole_file(path) as partial:
        copy_tracks(media, partial, SoundChoice(wanted.audio_track) if wanted.with_audio else None)
    return path
