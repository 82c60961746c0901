"""Halves of a download: what of them may be gone on from after a kill, and after a power cut.

yt-dlp goes on from where a half ends, and takes a fragment that is there for whole; it forces nothing to
the disk. After a power cut a half may be longer than what was written of it. So files are forced to the disk
now and then, their lengths noted, and where the machine was started anew since, no more is believed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from svlm_cli.files import make_folder, sync, whole_file

SYNC_SECONDS = 10.0
MEDIA_NAME = "media"
NOTE_FILE = "halves.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CAPTIONS = (".vtt", ".srt")


class Halves:
    """The folder of one download; only what can be gone on from stays in it.

    Halves of another format go, since yt-dlp names neither fragments nor halves by their format. Of a stream
    in fragments the whole fragments stay, to be put together anew: yt-dlp notes how far it has put them
    together after it has done so, and converts the result in place, so that a kill in between would give a
    fragment twice, or a file that was never converted.

    Args:
        folder: made where it is not there.
        facts: the facts of the video, as yt-dlp has them.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._folder = folder
        self._format = " ".join(str(facts.get(name)) for name in ("format_id", "width", "height", "tbr"))
        self._synced_at = time.monotonic()
        make_folder(folder)
        boot, self._synced = self._noted()
        if boot is None or boot != boot_id():
            self._cut()
        has_fragments = any(folder.glob("*-Frag*"))
        for path in self._files():
            is_fragment = re.search(r"-Frag[0-9]+$", path.name) is not None
            if (has_fragments and not is_fragment) or path.suffix in _CAPTIONS:
                path.unlink()
        self.sync()

    def sync_now_and_then(self) -> None:
        """Called often: every ``SYNC_SECONDS`` all that is there is forced to the disk."""
        if time.monotonic() > self._synced_at + SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force all that is there to the disk, and note how long each file is."""
        sizes: dict[str, int] = {}
        for path in self._files():
            if path.stem == MEDIA_NAME and path.suffix != ".part":
                continue  # tracks put together, or the whole: rewritten in place, and soon moved
            with suppress(FileNotFoundError):  # a fragment that has just got its name
                size = path.stat().st_size
                if self._synced.get(path.name) != size:
                    sync(path)
                sizes[path.name] = size
        sync(self._folder)
        self._synced = sizes
        note = {"format": self._format, "boot": boot_id(), "synced": sizes}
        with whole_file(self._folder / NOTE_FILE) as partial:
            partial.write_text(json.dumps(note), encoding="utf-8")
        self._synced_at = time.monotonic()

    def _noted(self) -> tuple[str | None, dict[str, int]]:
        """The start of the machine that the last run was in, and the lengths it is sure of."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            note = json.loads((self._folder / NOTE_FILE).read_text(encoding="utf-8"))
            if note["format"] == self._format:
                return note["boot"], {str(name): int(size) for name, size in note["synced"].items()}
        return None, {}

    def _cut(self) -> None:
        """What is not known to be on the disk goes."""
        for path in self._files():
            size = self._synced.get(path.name, 0)
            if 0 < size <= path.stat().st_size:
                with path.open("r+b") as file:
                    file.truncate(size)
            else:
                path.unlink()

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.name != NOTE_FILE]


def boot_id() -> str | None:
    """Names this start of the machine; None where it has no name, and every run counts as a new start."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None
