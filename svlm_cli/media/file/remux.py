"""Streams of a file into another file, packets as they are."""

from __future__ import annotations

from pathlib import Path

from svlm_cli.errors import SourceError
from svlm_cli.media.container import DamageError, libav


def copy_pictures(source: Path, target: Path) -> None:
    """Write the first video stream of a file into a new one of the same container, and no sound.

    Args:
        source: any video.
        target: its suffix names the container.

    Raises:
        SourceError: the container cannot hold it, or the file cannot be read.
    """
    import av

    try:
        with (
            libav(),
            av.open(str(source), metadata_errors="replace") as reading,
            av.open(str(target), "w") as writing,
        ):
            stream = reading.streams.video[0]
            copied = writing.add_stream_from_template(stream)
            copied.metadata.update(stream.metadata)
            for packet in reading.demux(stream):
                if packet.dts is not None:
                    packet.stream = copied
                    writing.mux(packet)
    except DamageError as error:
        reason = f"the sound of {source} cannot be left out: {error.message}"
        raise SourceError(reason, "try --keep-audio") from error
