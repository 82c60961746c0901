"""The files a stream leaves behind, valid at any moment.

One write per event on an unbuffered descriptor, of whole cues and lines, so that a process killed at any
moment leaves whole ones. A cue that may still change is in the file too, and is written over in one call. A
file that was there before is put aside when the first step arrives: a start that fails leaves it as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.errors import OutputError
from svlm_cli.stream.controls import watching
from svlm_cli.stream.outputs.append import AppendFile
from svlm_cli.stream.outputs.contract import Earlier, Production
from svlm_cli.stream.outputs.cues import CueStyle
from svlm_cli.stream.outputs.film import Film
from svlm_cli.stream.outputs.formats import (
    FORMATS,
    OutputFormat,
    Pieces,
    TraceFormat,
    encoded,
    resumed,
)
from svlm_cli.stream.outputs.going_on import go_on_behind, gone_back, placed, put, settle_file
from svlm_cli.stream.outputs.kinds import PRODUCTIONS, require_distinct, require_known
from svlm_cli.stream.outputs.rotation import FileRotation, current_part, part_path
from svlm_cli.types import Clip, EndEvent, StepEvent, StreamEvent, WarningEvent, reached_by

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Writers:
    """All outputs of one stream; a context manager that finishes them.

    Args:
        paths: one file per output, its format by its suffix.
        trace_path: where ``trace`` records go, None for nowhere.
        source: the source of the stream as the user named it; it is never written over.
        overwrite: replace a file that is there, instead of keeping it beside.
        cues: when words become captions.
        voice: the voice of sound, as ``speech.Reciter`` has it; None where none was named.
        rotation: when captions and events go on in another file; None for never.
        waits: as ``AppendFile`` has it.

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
        rotation: FileRotation | None = None,
        waits: bool = True,
    ) -> None:
        require_known(paths)
        require_distinct([*paths, *([trace_path] if trace_path else [])], source)
        known = {path: path.suffix.lower() for path in paths}
        formats = {path: FORMATS[suffix](cues) for path, suffix in known.items() if suffix in FORMATS}
        self._outputs = [(AppendFile(path, waits=waits), output) for path, output in formats.items()]
        self._productions = [
            PRODUCTIONS[suffix](path, cues, voice) for path, suffix in known.items() if suffix in PRODUCTIONS
        ]
        self._trace = AppendFile(trace_path, waits=waits) if trace_path else None
        self._overwrite = overwrite
        self._rotation = rotation
        self._is_open = False
        self._held: list[StreamEvent] | None = []
        self._unreported: list[WarningEvent] = []
        self._failed: list[str] = []
        self._earlier: Earlier | None = None
        self._at_seconds = 0.0
        self._left: dict[str, tuple[int, str]] = {}  # of outputs that stay as an earlier run left them

    def resume(self, earlier: Earlier) -> None:
        """Go on with the files of an earlier run where they are still there; none of them is put aside."""
        self._earlier = earlier

    @property
    def lengths(self) -> dict[str, int]:
        """Bytes written of each output that is open or will go on, by real path."""
        if self._is_open:
            made = {each.real_path: 0 for each in self._productions}
            made |= {file.real_path: file.num_bytes for file, _ in self._files()}
            return made | {path: length for path, (length, _) in self._left.items()}
        return self._lengths_before

    @property
    def _lengths_before(self) -> dict[str, int]:
        known = {} if self._earlier is None else self._earlier.lengths
        real_paths = [each.real_path for each in self._productions]
        real_paths += [file.real_path for file, _ in self._files()]
        return {path: known[path] for path in real_paths if path in known and os.path.isfile(path)}

    @property
    def held(self) -> dict[str, str]:
        """What outputs hold back, by real path: a cue that may still change."""
        if not self._is_open:
            return {} if self._earlier is None else dict(self._earlier.held)
        held = {each.real_path: each.held for each in self._productions}
        for file, output in self._outputs:
            part = current_part(Path(file.real_path)) if self._rotation else 0
            if part or output.held:
                held[file.real_path] = json.dumps({"part": part, "open": output.held})
        held |= {path: each for path, (_, each) in self._left.items()}
        return {path: each for path, each in held.items() if each}

    @property
    def watch(self) -> Callable[[Clip], None] | None:
        """To be shown every clip as it was read, where an output has pictures; from any thread."""
        return watching(*(each.watch for each in self._productions if isinstance(each, Film)))

    @property
    def failed(self) -> tuple[str, ...]:
        """The outputs given up in mid-stream, each with its reason."""
        return tuple(self._failed)

    def write(self, event: StreamEvent) -> list[WarningEvent]:
        """Append ``event`` to every output; the first step creates the files, or the end of a new stream.

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
            if isinstance(event, EndEvent):
                self.settle()
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
        if self._earlier is not None:
            self._earlier = gone_back([file for file, _ in self._outputs], self._earlier)
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
                    content = found[file.real_path]
                    if told := go_on_behind(file, pieces, content, self._earlier):
                        self._tell(told)
        except OutputError:
            self.close()
            raise
        self._is_open = True
        if self._earlier is not None:
            self._resume_cues(self._earlier, found)

    def _resume_cues(self, earlier: Earlier, found: Mapping[str, bytes]) -> None:
        """Open again the cues that were open where a file was cut, or is gone; else they stand in it."""
        for file, output in self._outputs:
            is_gone = file.is_ordinary and file.real_path in earlier.lengths
            if (content := found.get(file.real_path, b"" if is_gone else None)) is not None:
                kept = content[: file.num_bytes].decode("utf-8", "replace")
                held = earlier.part_and_open(file.real_path)[1] if earlier.cut else ""
                put(file, output, resumed(output, kept, held))

    def _begin_all(self, files: Sequence[AppendFile]) -> None:
        for each in self._productions:
            for message in each.begin(self._earlier, keeps=not self._overwrite):
                self._tell(message)
        for file in files:
            for message in placed(file, self._earlier, keeps=not self._overwrite):
                self._tell(message)

    def settle(self) -> None:
        """Before the end of a stream that went on and took no step: mend what is not as it was left.

        What the state knows is written again; what it does not know is told. Whole outputs stay as they are.
        """
        if self._is_open or self._earlier is None:
            return
        earlier, keeps = replace(self._earlier, cut=False), not self._overwrite
        known, outputs, open_paths = self._lengths_before, dict(self._outputs), set[str]()
        everything: list[Production | tuple[AppendFile, Pieces]] = [*self._productions, *self._files()]
        for each in everything:
            output = each[0] if isinstance(each, tuple) else each
            try:
                if isinstance(each, tuple):
                    is_open, told = settle_file(*each, outputs.get(each[0]), earlier, keeps=keeps)
                else:
                    is_open, told = each.settle(earlier, keeps=keeps)
            except (OSError, OutputError) as error:
                reason = error.message if isinstance(error, OutputError) else error.strerror
                self._unreported.append(self._give_up(output.path, OSError(0, reason)))
                continue
            for message in told:
                self._tell(message)
            if is_open:
                open_paths.add(output.real_path)
            elif output.real_path in known:
                self._left[output.real_path] = known[output.real_path], earlier.held.get(output.real_path, "")
        self._is_open = True
        self._outputs = [each for each in self._outputs if each[0].real_path in open_paths]
        self._productions = [each for each in self._productions if each.real_path in open_paths]
        self._trace = self._trace if self._trace and self._trace.real_path in open_paths else None

    def _tell(self, message: str) -> None:
        self._unreported.append(WarningEvent(message, self._at_seconds))

    def _append(self, event: StreamEvent) -> list[WarningEvent]:
        warnings = []
        for file, output in list(self._outputs):
            try:
                self._rotate(file, output, event)
                put(file, output, output.render(event))
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

    def _rotate(self, file: AppendFile, output: OutputFormat, event: StreamEvent) -> None:
        """Go on in another file, where that is due as a step comes."""
        if self._rotation is None or not isinstance(event, StepEvent) or not file.is_ordinary:
            return
        header, footer = encoded(output.header), encoded(output.footer)
        if file.num_bytes > len(header) and self._rotation.is_due(file.num_bytes, file.touched):
            put(file, output, output.finish())
            target = Path(file.real_path)
            file.rotate(part_path(target, current_part(target)), header, footer)
            output.restart()

    def _give_up(self, path: Path, error: OSError) -> WarningEvent:
        self._failed.append(f"{path} ({error.strerror})")
        told = f"{path} ends here: {error.strerror}; the stream goes on without it"
        return WarningEvent(told, self._at_seconds)

    def give_up(self, error: OutputError) -> WarningEvent:
        """Go on without any of the files, as they cannot be created; what is to be told of it."""
        self._outputs, self._productions, self._trace = [], [], None
        self._held, self._earlier, self._is_open = None, None, True
        self._failed.append(error.message)
        return WarningEvent(f"{error.message}; the stream goes on without its files", self._at_seconds)

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
                    put(file, pieces, outputs[file].finish())
                    if not file.is_ordinary:
                        file.append(encoded(pieces.footer))
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
