"""What of a folder is video: all that libav demuxes, by name or, where that says nothing, by content."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

from svlm_cli.errors import SourceError
from svlm_cli.media.container import decoded
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.probe import is_image, open_container, open_file

_VIDEO = """
.mp4 .m4v .mov .qt .3gp .3g2 .f4v .ismv .mkv .webm .avi .divx .ts .mts .m2ts .m2t .trp .tp .mpg .mpeg .mpe
.m2p .m2v .mpv .vob .vro .evo .mod .tod .mxf .gxf .wmv .asf .dvr-ms .wtv .flv .ogv .ogm .rm .rmvb .dv .nut
.y4m .h264 .264 .avc .h265 .265 .hevc .ivf .obu .amv .nsv .mjpeg .mjpg .roq .ty .pmp .dav .ps
"""
# What libav opens too, or may, and is no video of a game.
_SOUND = """
.wav .mp3 .flac .m4a .m4b .aac .ac3 .eac3 .ogg .oga .opus .wma .aif .aiff .mka .amr .ape .caf .au .wv .mp2
"""
_OTHER = """
.jpg .jpeg .png .bmp .tif .tiff .heic .svg .ico .psd .dng .cr2 .nef .thm
.srt .vtt .ass .ssa .sub .idx .sup .ttml .dfxp .scc .stl .smi .json .jsonl .txt .md .csv .tsv .xml .html .nfo
.yaml .yml .log .pdf .doc .docx .xls .xlsx .zip .gz .tar .7z .rar .part .ytdl .py .sh .ini .db .exe .m3u
.m3u8 .pls .cue .edl .cpi .mpl .bdm .sha256 .md5 .torrent .url .lnk
"""
_LEAST_PACKETS = 8
VIDEO_SUFFIXES = frozenset(_VIDEO.split())
SOUND_SUFFIXES = frozenset(_SOUND.split())
_OTHER_SUFFIXES = SOUND_SUFFIXES | frozenset(_OTHER.split())


def videos_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The videos of a folder, and the names of what else is in it, both in order; hidden files are neither.

    The name of a folder within it, which is not looked into, ends in ``/``.

    Raises:
        SourceError: it cannot be read.
    """
    return _parted(folder, _is_video)


def recordings_in(folder: Path) -> tuple[list[Path], list[str]]:
    """As ``videos_in``, and files of sound too."""
    return _parted(folder, lambda path: _is_sound(path) or _is_video(path))


def _parted(folder: Path, is_wanted: Callable[[Path], bool]) -> tuple[list[Path], list[str]]:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SourceError(f"the folder {folder} cannot be read: {error.strerror}") from error
    wanted = [path for path in inside if is_wanted(path)]
    known = set(wanted)
    return wanted, [path.name + "/" * path.is_dir() for path in inside if path not in known]


def _is_sound(path: Path) -> bool:
    suffix = path.suffix.lower()
    if not path.is_file():
        return False
    return suffix in SOUND_SUFFIXES or (suffix not in VIDEO_SUFFIXES | _OTHER_SUFFIXES and _sounds(path))


def _sounds(path: Path) -> bool:
    """Whether the first packets of sound give any: libav takes other data for sound now and then."""
    try:
        with closing(open_file(str(path))) as file:
            sound = next((each for each in file.container.streams.audio if each.codec_context), None)
            if sound is None:
                return False
            packets = islice(file.packets(sound), _LEAST_PACKETS)
            return any(decoded(sound.codec_context, packet) for packet in packets)
    except SourceError:
        return False


def _is_video(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _OTHER_SUFFIXES or not path.is_file():
        return False
    if suffix in VIDEO_SUFFIXES:
        return True
    try:
        with closing(open_container(str(path))) as video:
            if not is_image(video):
                return True
        PyavPictures(str(path)).close()  # which refuses a still
        return True
    except SourceError:
        return False
