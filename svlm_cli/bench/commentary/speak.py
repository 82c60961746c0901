"""Pieces commentated by a model of our own; a piece that was cut short goes on where it was last saved."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.bench.commentary.pieces import Line, Piece, PieceRun, Said, Shape, line_key
from svlm_cli.bench.common.events import WorkDone, WorkEvent, WorkStart
from svlm_cli.bench.common.hands import ModelCrew, Staff
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.records import RecordFile
from svlm_cli.bench.common.results import RESULTS_NAME
from svlm_cli.bench.common.work import Failures, present, record_key, work_key
from svlm_cli.claims import claimed
from svlm_cli.documents import MalformedError, parse_json
from svlm_cli.errors import OutputError, SourceError, StateError, SvlmError
from svlm_cli.files import make_folder, sync
from svlm_cli.settings import StreamSettings
from svlm_cli.types import EndEvent, StepEvent, WarningEvent
from svlm_cli.values import seconds, text
from svlm_cli.work.jobs import Came, Ended, JobLostError, Signals

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.state import SavedState
    from svlm_cli.stream.step.feeding import Feeder

SAVE_EVERY_SECONDS = 60.0


def commentate(
    runs: Sequence[PieceRun], staff: Staff, out: Path, shape: Shape
) -> Generator[WorkEvent, None, None]:
    """Commentate every piece of every run that is not there yet.

    Args:
        runs: what and how.
        staff: who commentates, and where.
        out: folder of ``results.jsonl``.
        shape: makes the fields of a line from what was said.

    Raises:
        ModelError: the model cannot be opened.
        OutputError: the folder cannot be used.
        SourceError: no video is there, or more than ``MOST_FAILURES`` cannot be read.
    """
    chosen = {run.name: present(run.pieces, "pieces") for run in runs}
    most = sum(len(each) for each, _ in chosen.values())
    with (
        staff.crew(_commentated, _video, _place, most) as crew,  # the folder is made once there are workers
        RecordFile(out / RESULTS_NAME, record_key) as results,
    ):
        yield from (WarningEvent(problem) for problem in results.problems)
        yield from (WarningEvent(text) for text in dict.fromkeys(text for _, text in chosen.values()) if text)
        for event in crew.look(""):
            if isinstance(event, WarningEvent):
                yield event
                continue
            facts = event.facts
        lines = [(run, _line(run, piece, facts)) for run in runs for piece in chosen[run.name][0]]
        left = {line.key: SpeakJob(run.name, run.settings, line, out) for run, line in lines}
        left = {key: job for key, job in left.items() if key not in results}
        for _, line in lines:
            if line.key in results:
                Partial(out, line.key).discard()  # who was killed had no time to
        title = f"{facts.name} on {facts.device} ({facts.dtype})"
        yield WorkStart(title, "pieces", len(lines) - len(left), len(lines))
        yield from _spoken(crew, list(left.values()), results, shape)
        crew.close()
        for key in left:
            if key in results:
                Partial(out, key).discard()  # a worker that was lost, or another in its place, left it
        with suppress(OSError):  # while others work, claims live in it
            _partial(out).rmdir()
        results.sort([line.key for _, line in lines])


@dataclass(frozen=True, slots=True)
class SpeakJob:
    """A piece to commentate.

    Args:
        run: the name of the run it is of.
        settings: the settings of the run.
        line: what is to be had.
        out: folder of the benchmark, where it is saved on the way.
    """

    run: str
    settings: StreamSettings
    line: Line
    out: Path


def _video(job: SpeakJob) -> str:
    return str(job.line.piece.video)


def _place(job: SpeakJob) -> str:
    return f"{job.run}: {job.line.piece.place}"


def _spoken(
    crew: ModelCrew[SpeakJob], left: list[SpeakJob], results: RecordFile, shape: Shape
) -> Generator[WorkEvent, None, None]:
    """Commentate pieces, and store each that is done."""
    failures = Failures()
    with closing(crew.work(left)) as events:
        for heard in events:
            match heard:
                case WarningEvent():
                    yield heard
                case Came(event=WarningEvent() as warning):
                    yield warning
                case Came(job=job, event=Spoken() as spoken):
                    line = job.line
                    results.add({**line.head, **shape(line.piece, spoken.said), "key": line.key})
                    Partial(job.out, line.key).discard()
                    yield WorkDone(f"{_place(job)}{spoken.note}")
                case Ended(job=job, error=SourceError() | JobLostError() as error):
                    failures.count(error)
                    yield WarningEvent(f"{job.line.piece.place} is left out: {error}")
                case Ended(error=BaseException() as error):
                    raise error


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


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said of a piece, and a note on how fast."""

    said: tuple[Said, ...]
    note: str


def _commentated(
    model: VideoLanguageModel, job: SpeakJob, signals: Signals, feeder: Feeder | None
) -> Generator[WarningEvent | Spoken, None, None]:
    """Stream a piece; saved every minute, so that a long one need not begin again, here or elsewhere."""
    from svlm_cli.media.file.reader import open_video
    from svlm_cli.stream.controls import Controls
    from svlm_cli.stream.loop import stream_video
    from svlm_cli.stream.state import StateKeeper

    piece, key = job.line.piece, job.line.key
    chosen = replace(
        job.settings,
        title=piece.title,
        previous_text=piece.previous_text,
        start=piece.start_seconds,
        duration=piece.end_seconds - piece.start_seconds,
    )
    with (
        claimed(_partial(job.out) / key, signals.should_stop) as held,
        open_video(piece.video, viewing=chosen.viewing) as reader,
    ):
        if held is None:
            raise SvlmError(f"stopped: another worker is at {piece.place}")
        with Partial(job.out, key, held.require) as partial:
            state = partial.saved()
            keeper = StateKeeper(partial.state_path, SAVE_EVERY_SECONDS, partial.lengths)
            note = ""
            controls = Controls(keeper=keeper, resume=state, overlap=feeder is None, feeder=feeder)
            with closing(stream_video(model, reader, chosen, controls=controls)) as events:
                for event in events:
                    if signals.should_stop():
                        raise SvlmError("stopped", "run the same command again")
                    if isinstance(event, StepEvent) and event.text:
                        end = min(event.end_seconds, piece.end_seconds)
                        partial.add(Said(event.start_seconds, end, event.text))
                    elif isinstance(event, WarningEvent):
                        yield WarningEvent(f"{piece.place}: {event.message}")
                    elif isinstance(event, EndEvent):
                        note = f", {event.realtime_factor:.1f}x real time"
            held.require()
            said = tuple(partial.said)
    yield Spoken(said, note)


def _partial(out: Path) -> Path:
    """The folder of pieces that are not done, and of the claims on them."""
    return out / "partial"


class Partial:
    """What has been said of a piece that is not done: words in one file, the stream's state beside it.

    Args:
        out: folder of the benchmark.
        key: the key of the line.
        require: see ``Claim.require``; called before anything is written.
    """

    def __init__(self, out: Path, key: str, require: Callable[[], None] = lambda: None) -> None:
        self._words = _partial(out) / f"{key}.jsonl"
        self.state_path = _partial(out) / f"{key}.state"
        self._require = require
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
        self._require()
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
        self._require()
        os.fsync(self._descriptor)
        sync(self._words.parent)
        return {str(self._words): os.fstat(self._descriptor).st_size}

    def discard(self) -> None:
        """The piece is done."""
        for path in (self._words, self.state_path):
            path.unlink(missing_ok=True)

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
