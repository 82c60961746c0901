"""The files a stream leaves behind, valid at any moment.

One write per event on an unbuffered descriptor, of whole cues and lines, so that a process killed at any
moment leaves whole ones. A cue that may still change is in the file too, and is written over in one call. A
file that was there before is put aside when the first step arrives: a start that fails leaves it as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from svlm_cli.cue_text import timestamp
from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.outputs.append import AppendFile
from svlm_cli.stream.outputs.contract import Earlier, Production
from svlm_cli.stream.outputs.cues import CueStyle
from svlm_cli.stream.outputs.film import Film
from svlm_cli.stream.outputs.formats import FORMATS, OutputFormat, Pieces, TraceFormat, Written
from svlm_cli.stream.outputs.playlist import CaptionPlaylist
from svlm_cli.stream.outputs.voice import VoiceFile
from svlm_cli.types import Clip, EndEvent, StepEvent, StreamEvent, WarningEvent, reached_by

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


PRODUCTIONS: Mapping[str, Callable[[Path, CueStyle, str | None], Production]] = {
    ".m3u8": lambda path, style, _voice: CaptionPlaylist(path, style),
    ".wav": lambda path, _style, voice: VoiceFile(path, voice or ""),
    ".mp4": Film,
}


def _require_known(paths: Sequence[Path]) -> None:
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


def _kept(earlier: Earlier, content: bytes, length: int, pieces: Pieces) -> int:
    """Bytes of an output to go on behind: whole pieces, without the holes that a power cut leaves."""
    if earlier.cut:
        content = content[:length]
    hole, end = content.find(b"\0"), pieces.end.encode()
    found = content.rfind(end, 0, len(content) if hole < 0 else hole)
    return 0 if found < 0 else found + len(end)


class Writers:
    """All outputs of one stream; a context manager that finishes them.

    Args:
        paths: one file per output, its format by its suffix.
        trace_path: where ``trace`` records go, None for nowhere.
        source: the source of the stream as the user named it; it is never written over.
        overwrite: replace a file that is there, instead of keeping it beside.
        cues: when words become captions.
        voice: of sound, as ``speech.Speaker`` has it; None where none was named.

    Raises:
        UsageError: an unknown suffix, or two outputs in one file.
        OutputError: a folder that is missing or cannot be written.
    """

    def __init__(
        self,
        paths: Sequence[Path] = (),
        trace_path: Path | None = None,
        source: str = "",
        *,
        overwrite: bool = False,
        cues: CueStyle = CueStyle.READING,
        voice: str | None = None,
    ) -> None:
        _require_known(paths)
        require_distinct([*paths, *([trace_path] if trace_path else [])], source)
        known = {path: path.suffix.lower() for path in paths}
        formats = {path: FORMATS[suffix](cues) for path, suffix in known.items() if suffix in FORMATS}
        self._outputs = [(AppendFile(path), output) for path, output in formats.items()]
        self._productions = [
            PRODUCTIONS[suffix](path, cues, voice) for path, suffix in known.items() if suffix in PRODUCTIONS
        ]
        self._trace = AppendFile(trace_path) if trace_path else None
        self._overwrite = overwrite
        self._is_open = False
        self._held: list[StreamEvent] | None = []
        self._unreported: list[WarningEvent] = []
        self._failed: list[str] = []
        self._earlier: Earlier | None = None
        self._at_seconds = 0.0

    def resume(self, earlier: Earlier) -> None:
        """Go on with the files of an earlier run where they are still there; none of them is put aside."""
        self._earlier = earlier

    @property
    def lengths(self) -> dict[str, int]:
        """Bytes written of each output that is open or will go on, by real path."""
        if self._is_open:
            made = {each.real_path: 0 for each in self._productions}
            return made | {file.real_path: file.num_bytes for file, _ in self._files()}
        known = {} if self._earlier is None else self._earlier.lengths
        real_paths = [each.real_path for each in self._productions]
        real_paths += [file.real_path for file, _ in self._files()]
        return {path: known[path] for path in real_paths if path in known and os.path.isfile(path)}

    @property
    def held(self) -> dict[str, str]:
        """What outputs hold back, by real path: a cue that may still change."""
        if not self._is_open:
            return {} if self._earlier is None else dict(self._earlier.held)
        held = {file.real_path: output.held for file, output in self._outputs}
        held |= {each.real_path: each.held for each in self._productions}
        return {path: each for path, each in held.items() if each}

    @property
    def watch(self) -> Callable[[Clip], None] | None:
        """To be shown every clip as it was read, where an output has pictures; from any thread."""
        films = [each for each in self._productions if isinstance(each, Film)]

        def watch(clip: Clip) -> None:
            for film in films:
                film.watch(clip)

        return watch if films else None

    @property
    def failed(self) -> tuple[str, ...]:
        """The outputs given up in mid-stream, each with its reason."""
        return tuple(self._failed)

    def write(self, event: StreamEvent) -> list[WarningEvent]:
        """Append ``event`` to every output; the first step (or the end) creates the files.

        Returns:
            What is to be told since the last call: of files found at the start, once; then one warning per
            output that has failed; the others go on.

        Raises:
            OutputError: a file cannot be created; what was there stays.
        """
        if (reached := reached_by(event)) is not None:
            self._at_seconds = reached
        if self._held is not None:
            self._held.append(event)
            if not isinstance(event, StepEvent | EndEvent):
                return []
            self._open()
            events, self._held = self._held, None
        else:
            events = [event]
        warnings, self._unreported = self._unreported, []
        for current in [*events[:-1], *warnings, events[-1]]:
            warnings += self._append(current)
        return warnings

    def _files(self) -> Iterator[tuple[AppendFile, Pieces]]:
        trace = [] if self._trace is None else [(self._trace, TraceFormat())]
        yield from [*self._outputs, *trace]  # one copy: another thread may look on

    def _open(self) -> None:
        """Open all files or none: what can fail comes before what changes one that was there."""
        if self._is_open:
            return
        found: dict[str, bytes] = {}
        known = {} if self._earlier is None else self._earlier.lengths
        try:
            for file, pieces in self._files():
                if file.real_path in known and os.path.isfile(file.real_path):
                    found[file.real_path] = file.reopen()
                else:
                    file.prepare(pieces.header.encode(), pieces.footer.encode())
            self._begin_all([file for file, _ in self._files() if file.real_path not in found])
            for file, pieces in self._files():
                if self._earlier is not None and file.real_path in found:
                    self._go_on(file, pieces, found[file.real_path], self._earlier)
        except OutputError:
            self.close()
            raise
        self._is_open = True
        if self._earlier is not None:
            self._resume_cues(self._earlier, found)

    def _resume_cues(self, earlier: Earlier, found: Mapping[str, bytes]) -> None:
        """Open again the cues that were open where a file was cut; else they stand in it."""
        for file, output in self._outputs:
            if (content := found.get(file.real_path)) is not None:
                kept = content[: file.num_bytes].decode("utf-8", "replace")
                held = earlier.held.get(file.real_path, "") if earlier.cut else ""
                self._put(file, output, _resumed(output, kept, held))

    def _begin_all(self, files: Sequence[AppendFile]) -> None:
        for each in self._productions:
            for message in each.begin(self._earlier, keeps=not self._overwrite):
                self._tell(message)
        for file in files:
            self._begin(file)

    def _begin(self, file: AppendFile) -> None:
        """Put a new file in place and note what became of the one before, or that one should be there."""
        aside = file.place(keep=not self._overwrite)
        kept = "" if aside is None else f"was there already: it is kept as {aside.name}"
        if self._earlier is not None and file.is_ordinary:
            until = timestamp(self._earlier.reached_seconds)
            if file.real_path in self._earlier.lengths:
                self._tell(f"{file.path} is gone: what it held up to {until} is missing")
            else:
                known = f"{file.path} is no output of the saved state and begins at {until}"
                self._tell(f"{known}; what {kept}" if kept else known)
        elif kept:
            self._tell(f"{file.path} {kept} (--overwrite replaces it)")

    def _go_on(self, file: AppendFile, pieces: Pieces, content: bytes, earlier: Earlier) -> None:
        """Go on behind the whole pieces of a file and note what it lacks."""
        length = earlier.lengths[file.real_path]
        num_bytes = _kept(earlier, content, length, pieces)
        file.cut(num_bytes, pieces.header.encode(), pieces.footer.encode())
        if num_bytes >= length:
            if not earlier.cut and content[num_bytes:] not in (b"", pieces.footer.encode()):
                self._tell(f"{file.path} had a torn end; {len(content) - num_bytes} bytes are cut off")
            return
        told = pieces.last.findall(content[:num_bytes].decode("utf-8", "replace"))
        behind = f"its last whole piece ({told[-1]})" if told else "its start"
        self._tell(
            f"{file.path} is torn, or shorter than the saved state says: it goes on behind {behind}; what it "
            f"held from there up to {timestamp(earlier.reached_seconds)} is missing"
        )

    def _tell(self, message: str) -> None:
        self._unreported.append(WarningEvent(message, self._at_seconds))

    def _append(self, event: StreamEvent) -> list[WarningEvent]:
        warnings = []
        for file, output in list(self._outputs):
            try:
                self._put(file, output, output.render(event))
            except OSError as error:
                self._outputs.remove((file, output))
                file.close()
                warnings.append(self._give_up(file.path, error))
        for each in list(self._productions):
            try:
                told = each.write(event)
                warnings += [WarningEvent(message, self._at_seconds) for message in told]
            except OSError as error:
                self._productions.remove(each)
                warnings.append(self._give_up(each.path, error))
        if not isinstance(event, EndEvent):  # the end stays the last line
            for warning in list(warnings):
                warnings += self._append(warning)
        return warnings

    def _put(self, file: AppendFile, pieces: Pieces, written: Written) -> None:
        file.append(_encoded(written.pieces), _encoded(written.open + pieces.footer))

    def _give_up(self, path: Path, error: OSError) -> WarningEvent:
        self._failed.append(f"{path} ({error.strerror})")
        told = f"{path} ends here: {error.strerror}; the stream goes on without it"
        return WarningEvent(told, self._at_seconds)

    def trace(self, record: DataclassInstance) -> None:
        """Append one line to the trace file, if there is one; its failure is reported by the next ``write``.

        Raises:
            OutputError: a file cannot be created; what was there stays.
        """
        if self._trace is None:
            return
        self._open()
        line = json.dumps(
            {each.name: getattr(record, each.name) for each in fields(record)}, separators=(",", ":")
        )
        try:
            self._trace.append(line.encode() + b"\n")
        except OSError as error:
            self._trace.close()
            self._unreported.append(self._give_up(self._trace.path, error))
            self._trace = None

    def sync(self) -> None:
        """Force all that was written to the disk; from any thread, beside ``write``.

        Raises:
            OSError: some of it is not there; the reason names the file.
        """
        for file, _ in self._files():
            file.sync()
        for each in list(self._productions) if self._is_open else ():
            each.sync()

    def finish(self) -> None:
        """Fix what is open, force all to the disk and close it; what cannot be is among the failed."""
        outputs = dict(self._outputs) if self._is_open else {}
        for each in self._productions if self._is_open else ():
            try:
                each.finish()
                each.sync()
            except OSError as error:
                self._failed.append(f"{each.path} ({error.strerror})")
        self._productions = []
        for file, pieces in self._files():
            try:
                if file in outputs:
                    self._put(file, pieces, outputs[file].finish())
                    if not file.is_ordinary:
                        file.append(_encoded(pieces.footer))
                file.sync()
            except OSError as error:
                self._failed.append(str(error.strerror))
            file.close()

    def close(self) -> None:
        """Close every file; what was written stays."""
        for file, _ in self._files():
            file.close()

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _resumed(output: OutputFormat, kept: str, held: str) -> Written:
    """Go on behind what is kept; where what was held back is another build's, behind that alone."""
    try:
        return output.resume(kept, held)
    except (ValueError, KeyError, TypeError):
        return output.resume(kept, "")
