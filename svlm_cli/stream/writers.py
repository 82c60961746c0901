"""The files a stream leaves behind, valid at any moment.

One ``write`` per complete cue or line on an unbuffered descriptor, so that a process killed at any moment
leaves whole cues and whole lines. A file that was there before is replaced, in one rename, when the first
step arrives: a start that fails leaves it as it was.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.formats import FORMATS, OutputFormat
from svlm_cli.types import EndEvent, StepEvent, StreamEvent, WarningEvent

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class AppendFile:
    """A file that only ever grows by whole pieces.

    Args:
        path: where it will lie; nothing is created or changed before ``open``.

    Raises:
        OutputError: there is no such folder, or something there cannot be replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._num_bytes = 0
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise OutputError(f"no folder {target.parent} for the output {path}", f"mkdir -p {target.parent}")
        if target.is_dir():
            raise OutputError(f"the output {path} is a folder", "name a file in it")
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise OutputError(f"no permission to write {path}", "choose another folder")
        self._target = target

    def open(self, header: bytes) -> None:
        """Put a new file that holds ``header`` in place, in one rename; pipes and devices are just opened.

        Raises:
            OutputError: it cannot be created.
        """
        try:
            if self._target.exists() and not self._target.is_file():
                self._descriptor = os.open(self._target, os.O_WRONLY)
                self.append(header)
            else:
                self._replace(header)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}", "name another file") from error

    def _replace(self, header: bytes) -> None:
        new = self._target.with_name(f".svlm-{secrets.token_hex(6)}.part")
        self._descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        try:
            if self._target.exists():
                os.fchmod(self._descriptor, stat.S_IMODE(self._target.stat().st_mode))
            self.append(header)
            os.replace(new, self._target)
        except BaseException:
            new.unlink(missing_ok=True)
            self.close()
            raise

    def reopen(self, length: int | None) -> str:
        """Go on behind what is there.

        Args:
            length: bytes to keep, None for all.

        Returns:
            What is kept.

        Raises:
            OutputError: it cannot be opened.
        """
        try:
            self._descriptor = os.open(self._target, os.O_RDWR | os.O_APPEND)
            if length is not None and length < os.fstat(self._descriptor).st_size:
                os.ftruncate(self._descriptor, length)
            kept = self._target.read_bytes()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}", "name another file") from error
        self._num_bytes = len(kept)
        return kept.decode("utf-8", "replace")

    @property
    def real_path(self) -> str:
        """Where it lies, links followed."""
        return str(self._target)

    @property
    def num_bytes(self) -> int:
        """Bytes that are whole pieces."""
        return self._num_bytes

    def append(self, piece: bytes) -> None:
        """Add ``piece`` whole; if it does not fit, what was there before stays and the error is raised.

        Raises:
            OSError: e.g. the disk is full.
        """
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BaseException:
            with suppress(OSError):  # pipes and devices cannot take a piece back
                os.ftruncate(self._descriptor, self._num_bytes)
            raise
        self._num_bytes += len(piece)

    def close(self) -> None:
        """Close it; twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _output_format(path: Path) -> OutputFormat:
    try:
        return FORMATS[path.suffix.lower()]()
    except KeyError:
        raise UsageError(f"--out {path} must end in {', '.join(FORMATS)}", "try --out words.vtt") from None


def require_distinct(paths: Sequence[Path], source: str) -> None:
    """Make sure that no output is another one, or the source.

    Raises:
        UsageError: one is.
    """
    taken = {os.path.realpath(source): "the source"}
    for path in paths:
        real = os.path.realpath(path)
        if real in taken:
            raise UsageError(f"the output {path} is the same file as {taken[real]}", "name another file")
        taken[real] = "another output"


class Writers:
    """All outputs of one stream; a context manager that closes them.

    Args:
        paths: one file per output, its format by its suffix.
        trace_path: where ``trace`` records go, None for nowhere.
        source: of the stream as the user named it; it is never written over.

    Raises:
        UsageError: an unknown suffix, or two outputs in one file.
        OutputError: a folder that is missing or cannot be written.
    """

    def __init__(self, paths: Sequence[Path] = (), trace_path: Path | None = None, source: str = "") -> None:
        formats = [_output_format(path) for path in paths]
        require_distinct([*paths, *([trace_path] if trace_path else [])], source)
        self._outputs = [(AppendFile(path), output) for path, output in zip(paths, formats, strict=True)]
        self._trace = AppendFile(trace_path) if trace_path else None
        self._trace_is_open = False
        self._held: list[StreamEvent] | None = []
        self._unreported: list[WarningEvent] = []
        self._failed: list[str] = []
        self._lengths: dict[str, int] = {}
        self._cut = False

    def resume(self, lengths: Mapping[str, int], *, cut: bool) -> None:
        """Go on with the files of an earlier run where they are still there, instead of replacing them.

        Args:
            lengths: bytes of each, by real path, when the state was saved from which the stream goes on.
            cut: drop what was written after that, as it will come again.
        """
        self._lengths = {path: length for path, length in lengths.items() if os.path.isfile(path)}
        self._cut = cut

    @property
    def lengths(self) -> dict[str, int]:
        """Bytes written of each output, by real path."""
        files = [file for file, _ in self._outputs] + ([self._trace] if self._trace else [])
        return {file.real_path: file.num_bytes for file in files}

    @property
    def failed(self) -> tuple[str, ...]:
        """The outputs given up in mid-stream, each with its reason."""
        return tuple(self._failed)

    def write(self, event: StreamEvent) -> list[WarningEvent]:
        """Append ``event`` to every output; the first step (or the end) creates the files.

        Returns:
            One warning per output that has failed since the last call; the others go on.

        Raises:
            OutputError: a file cannot be created.
        """
        if self._held is not None:
            self._held.append(event)
            if not isinstance(event, StepEvent | EndEvent):
                return []
            for file, output in self._outputs:
                self._open(file, output)
            events, self._held = self._held, None
        else:
            events = [event]
        warnings, self._unreported = self._unreported, []
        for current in [*warnings, *events]:
            warnings += self._append(current)
        return warnings

    def _open(self, file: AppendFile, output: OutputFormat | None = None) -> None:
        if file.real_path not in self._lengths:
            file.open(output.header.encode() if output else b"")
            return
        kept = file.reopen(self._lengths[file.real_path] if self._cut else None)
        if output is not None:
            output.resume(kept)

    def _append(self, event: StreamEvent) -> list[WarningEvent]:
        warnings = []
        for file, output in list(self._outputs):
            try:
                file.append(output.render(event).encode("utf-8", "backslashreplace"))
            except OSError as error:
                self._outputs.remove((file, output))
                warnings.append(self._give_up(file, error))
        if not isinstance(event, EndEvent):  # the end stays the last line
            for warning in list(warnings):
                warnings += self._append(warning)
        return warnings

    def _give_up(self, file: AppendFile, error: OSError) -> WarningEvent:
        file.close()
        self._failed.append(f"{file.path} ({error.strerror})")
        return WarningEvent(f"{file.path} ends here: {error.strerror}; the stream goes on without it")

    def trace(self, record: DataclassInstance) -> None:
        """Append one line to the trace file, if there is one; its failure is reported by the next ``write``.

        Raises:
            OutputError: the file cannot be created.
        """
        if self._trace is None:
            return
        if not self._trace_is_open:
            self._open(self._trace)
            self._trace_is_open = True
        line = json.dumps(
            {each.name: getattr(record, each.name) for each in fields(record)}, separators=(",", ":")
        )
        try:
            self._trace.append(line.encode() + b"\n")
        except OSError as error:
            self._unreported.append(self._give_up(self._trace, error))
            self._trace = None

    def close(self) -> None:
        """Close every file; what was written stays."""
        for file, _ in self._outputs:
            file.close()
        if self._trace is not None:
            self._trace.close()

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
