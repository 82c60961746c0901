"""Pieces commentated by a model of our own; a piece that was cut short goes on where it was last saved."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.bench.commentary.pieces import Line, Piece, PieceRun, Said, Shape, line_key
from svlm_cli.bench.common.events import WorkDone, WorkEvent, WorkStart
from svlm_cli.bench.common.model import ModelFacts, ModelOptions, model_facts
from svlm_cli.bench.common.records import RecordFile
from svlm_cli.bench.common.results import RESULTS_NAME
from svlm_cli.bench.common.work import Failures, present, record_key, work_key
from svlm_cli.documents import MalformedError, parse_json
from svlm_cli.errors import OutputError, SourceError, StateError
from svlm_cli.files import make_folder, sync
from svlm_cli.types import EndEvent, StepEvent, WarningEvent
from svlm_cli.values import seconds, text

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.settings import StreamSettings
    from svlm_cli.stream.state import SavedState
    from svlm_cli.stream.step.feeding import Feeder

SAVE_EVERY_SECONDS = 60.0


def commentate(
    runs: Sequence[PieceRun], options: ModelOptions, out: Path, shape: Shape, batch: int = 1
) -> Generator[WorkEvent, None, None]:
    """Commentate every piece of every run that is not there yet.

    Args:
        runs: what and how.
        options: how to open the model.
        out: folder of ``results.jsonl``.
        shape: makes the fields of a line from what was said.
        batch: pieces at once, in shared forwards.

    Raises:
        ModelError: the model cannot be opened.
        OutputError: the folder cannot be used.
        SourceError: no video is there, or more than ``MOST_FAILURES`` cannot be read.
    """
    with RecordFile(out / RESULTS_NAME, record_key) as results:
        yield from (WarningEvent(problem) for problem in results.problems)
        chosen = {run.name: present(run.pieces, "pieces") for run in runs}
        yield from (WarningEvent(text) for text in dict.fromkeys(text for _, text in chosen.values()) if text)
        from svlm_cli.stream.step.meeting import do_all

        model = options.load()
        facts = model_facts(model)
        lines = [(run, _line(run, piece, facts)) for run in runs for piece in chosen[run.name][0]]
        left = {line.key: (run, line) for run, line in lines if line.key not in results}
        for _, line in lines:
            if line.key in results:
                Partial(out, line.key).discard()  # who was killed had no time to
        yield WorkStart(
            f"{facts.name} on {facts.device} ({facts.dtype})", "pieces", len(lines) - len(left), len(lines)
        )
        failures = Failures()
        works = (partial(_commentated, model, run, line, out) for run, line in left.values())
        with closing(do_all(model, works, batch)) as events:
            for event in events:
                if isinstance(event, WarningEvent):
                    yield event
                elif isinstance(event.outcome, SourceError):
                    failures.count(event.outcome)
                    yield WarningEvent(f"{event.line.piece.place} is left out: {event.outcome}")
                else:
                    line = event.line
                    results.add({**line.head, **shape(line.piece, event.outcome), "key": line.key})
                    Partial(out, line.key).discard()
                    yield WorkDone(f"{event.run.name}: {line.piece.place}{event.note}")
        results.sort([line.key for _, line in lines])


def _line(run: PieceRun, piece: Piece, facts: ModelFacts) -> Line:
    identity = {
        "model": facts.fingerprint,
        "device": facts.device,
        "dtype": facts.dtype,
        **run.identity(),
    }
    head = {
        **piece.labels,
        "run": run.name,
        "fingerprint": work_key(identity),
        "facts": run.facts(facts).to_json(),
    }
    return Line(piece, line_key(identity, piece), head)


@dataclass(frozen=True, slots=True, eq=False)
class _Commentated:
    """A piece that is done: what was said, or why it cannot be read."""

    run: PieceRun
    line: Line
    outcome: list[Said] | SourceError
    note: str = ""


def _commentated(
    model: VideoLanguageModel, run: PieceRun, line: Line, out: Path, feeder: Feeder | None
) -> Generator[WarningEvent | _Commentated, None, None]:
    """Stream a piece, as ``_Commentated`` says last."""
    try:
        said, note = yield from _spoken(model, run.settings, line, out, feeder)
    except SourceError as error:
        yield _Commentated(run, line, error)
    else:
        yield _Commentated(run, line, said, note)


def _spoken(
    model: VideoLanguageModel, settings: StreamSettings, line: Line, out: Path, feeder: Feeder | None
) -> Generator[WarningEvent, None, tuple[list[Said], str]]:
    """Stream a piece; saved every minute, so that a long one need not begin again."""
    from svlm_cli.media.file.reader import open_video
    from svlm_cli.stream.controls import Controls
    from svlm_cli.stream.loop import stream_video
    from svlm_cli.stream.state import StateKeeper

    piece = line.piece
    chosen = replace(
        settings,
        title=piece.title,
        previous_text=piece.previous_text,
        start=piece.start_seconds,
        duration=piece.end_seconds - piece.start_seconds,
    )
    with Partial(out, line.key) as begun, open_video(piece.video, viewing=chosen.viewing) as reader:
        state = begun.saved()
        keeper = StateKeeper(begun.state_path, SAVE_EVERY_SECONDS, begun.lengths)
        note = ""
        controls = Controls(keeper=keeper, resume=state, overlap=feeder is None, feeder=feeder)
        with closing(stream_video(model, reader, chosen, controls=controls)) as events:
            for event in events:
                if isinstance(event, StepEvent) and event.text:
                    end = min(event.end_seconds, piece.end_seconds)
                    begun.add(Said(event.start_seconds, end, event.text))
                elif isinstance(event, WarningEvent):
                    yield WarningEvent(f"{piece.place}: {event.message}")
                elif isinstance(event, EndEvent):
                    note = f", {event.realtime_factor:.1f}x real time"
        return list(begun.said), note


class Partial:
    """What has been said of a piece that is not done: words in one file, the stream's state beside it.

    Args:
        out: folder of the benchmark.
        key: the key of the line.
    """

    def __init__(self, out: Path, key: str) -> None:
        self._words = out / "partial" / f"{key}.jsonl"
        self.state_path = out / "partial" / f"{key}.state"
        self._descriptor = -1
        self.said: list[Said] = []

    def saved(self) -> SavedState | None:
        """The state to go on from, with the words up to it; None to begin."""
        from svlm_cli.stream.state import load_state

        make_folder(self._words.parent)
        length, state = 0, None
        if self.state_path.exists():
            with suppress(StateError):
                state = load_state(self.state_path)
                if "pictures" not in state.made_with:
                    raise StateError("it does not say how pictures were shown")
                length = state.outputs.get(str(self._words), -1)
        content = self._words.read_bytes()[:length] if self._words.exists() and length > 0 else b""
        if len(content) != length:  # the words were lost: nothing to go on from
            content, state = b"", None
        try:
            self.said = [_said(line) for line in content.splitlines()]
        except MalformedError:  # nothing to go on from either
            self.said, content, state = [], b"", None
        self._descriptor = os.open(self._words, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._descriptor, len(content))
        os.lseek(self._descriptor, 0, os.SEEK_END)
        return state

    def add(self, said: Said) -> None:
        """Write words down.

        Raises:
            OutputError: they cannot be.
        """
        line = json.dumps([said.start_seconds, said.end_seconds, said.text]).encode() + b"\n"
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OutputError(
                f"cannot write {self._words}: {error.strerror}", "run the same command again"
            ) from error
        self.said.append(said)

    def lengths(self) -> dict[str, int]:
        """Of the words, for the state, which may then count on them: they are on the disk."""
        os.fsync(self._descriptor)
        sync(self._words.parent)
        return {str(self._words): os.fstat(self._descriptor).st_size}

    def discard(self) -> None:
        """The piece is done."""
        for path in (self._words, self.state_path):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._words.parent.rmdir()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _said(line: bytes) -> Said:
    row = parse_json(line)
    if not isinstance(row, list) or len(row) != 3:
        raise MalformedError("it is not [start, end, text]")
    return Said(seconds(row[0], "start"), seconds(row[1], "end"), text(row[2], "text"))
