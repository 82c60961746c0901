"""A stream's state in one file, to go on from.

It holds the cache, the layout, the sampler, the position in the source and how long the outputs were, and
says what it was made with. It is replaced in one rename, so that there is a whole one at any time; what it
counts of the outputs is on the disk before.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from svlm_cli import __version__
from svlm_cli.errors import StateError, boundary
from svlm_cli.files import remove_partials
from svlm_cli.settings import Deinterlace, PictureStyle, PromptFormat, StreamSettings
from svlm_cli.stream.outputs.written import WrittenStep
from svlm_cli.stream.pacing import SaveTurns
from svlm_cli.stream.questions import Questions
from svlm_cli.stream.session import StreamSession
from svlm_cli.stream.snapshot import Snapshot
from svlm_cli.stream.state_file import read_state, write_state

# What may change between a stream and its continuation: which seconds, how fast, what stood before the start.
# Readers show the same pixels, or refuse.
FREE_SETTINGS = frozenset({"start", "duration", "pace", "on_lag", "title", "previous_text", "reader"})
# What states that do not say were made with.
EARLIER_PICTURES = {"pictures": PictureStyle.RAW.value, "deinterlace": Deinterlace.AUTO.value}
GRID_TOLERANCE = 1e-6  # seconds
EARLIER = {"prompt_format": PromptFormat.SVLM.value}


@dataclass(frozen=True, slots=True)
class SavedState:
    """A state as read from its file.

    Args:
        path: the path of the file.
        snapshot: the snapshot of the session.
        made_with: version, model and settings.
        source: as its user named it.
        reached_seconds: where the next step starts.
        saved_at: wall time at which the next step began, seconds since the epoch.
        outputs: real path and length in bytes of every output at that moment.
        questions: the questions that waited: seconds and text.
        held: what each output held back at that moment, by real path.
        written: the last step in outputs that go on behind all that they hold, None where there is none.
    """

    path: Path
    snapshot: Snapshot
    made_with: Mapping[str, Any]
    source: str
    reached_seconds: float
    saved_at: float
    outputs: Mapping[str, int]
    questions: Sequence[tuple[float, str]] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    written: WrittenStep | None = None

    @property
    def told_seconds(self) -> float:
        """Where the last step ends that was told, in the state or in an output."""
        return max(self.reached_seconds, 0.0 if self.written is None else self.written.end_seconds)

    def restore(self, session: StreamSession, *, is_plain: bool = True) -> None:
        """Make a new session go on from here.

        Args:
            session: a new one.
            is_plain: whether pictures as stored, which the first states were made with, are those shown.

        Raises:
            StateError: it was made with another version, model or setting (names each), or what it holds
                does not fit the model.
        """
        now = _made_with(session)
        pictures = {key: now[key] for key in EARLIER_PICTURES} if is_plain else EARLIER_PICTURES
        cached = {"kv_cache": self.made_with.get("dtype")}
        then = {**EARLIER, **cached, **pictures, **self.made_with}
        differ = [
            f"{key} ({then.get(key)} -> {now.get(key)})"
            for key in sorted(now.keys() | then.keys())
            if then.get(key) != now.get(key) and key not in FREE_SETTINGS
        ]
        if differ:
            raise StateError(
                f"{self.path} was made with something else: {', '.join(differ)}",
                "resume with what it was made with, or start afresh without --resume",
            )
        with boundary(f"{self.path} does not fit the model", StateError, "start without --resume"):
            session.restore(self.snapshot)

    def position_seconds(self, is_live: bool, step_seconds: float) -> float:
        """Where to go on: of a live source the steps that have passed meanwhile are gone."""
        if not is_live:
            return self.reached_seconds
        gone = max(
            0.0, time.time() - self.saved_at, self.told_seconds - self.reached_seconds - GRID_TOLERANCE
        )
        return self.reached_seconds + math.ceil(gone / step_seconds) * step_seconds


def load_state(path: Path) -> SavedState:
    """Read a state.

    Raises:
        StateError: missing, damaged, or of another form.
    """
    header, tensors = read_state(path)
    return SavedState(
        path,
        Snapshot(header["session"], tensors),
        header["made_with"],
        header["source"],
        header["reached_seconds"],
        header["saved_at"],
        header["outputs"],
        [(due_seconds, text) for due_seconds, text in header["questions"]],
        header.get("held", {}),
    )


class StateKeeper:
    """Saves the state of one stream, after its first step, every so often and at its end.

    Args:
        path: the path of the file, claimed (``files.claim``) where others may want it.
        every_seconds: the seconds of wall time between saves; writing runs beside the stream.
        outputs: tells path and length of every output.
        held: tells what outputs hold back.
        sync_outputs: forces them to the disk; called from the thread that writes the state.
        settle: brings them into order before the last save, where nothing was written to them.
        turns: those of all who save beside it, but for first and last states.

    Attributes:
        has_failed: whether the newest state could not be saved.
    """

    def __init__(
        self,
        path: Path,
        every_seconds: float = 60.0,
        outputs: Callable[[], Mapping[str, int]] = dict,
        sync_outputs: Callable[[], None] = lambda: None,
        held: Callable[[], Mapping[str, str]] = dict,
        settle: Callable[[], None] = lambda: None,
        turns: SaveTurns | None = None,
    ) -> None:
        self.path = path
        self._turns = turns or SaveTurns()
        self._settle = settle
        self._every_seconds = every_seconds
        self._outputs = outputs
        self._sync_outputs = sync_outputs
        self._held = held
        self._made_with: dict[str, Any] = {}
        self._last = -math.inf  # outputs without a state could not be gone on with: the first step is saved
        self._writing: threading.Thread | None = None
        self._failure = ""
        self.has_failed = False
        remove_partials(path)

    def get_ready(self, session: StreamSession) -> None:
        """Find out what a session is made with, before its first words: a library that loads takes a second.

        Words without a state could not be gone on with.
        """
        self._made_with = _made_with(session)

    def save_if_due(
        self,
        session: StreamSession,
        source: str,
        reached_seconds: float,
        questions: Questions,
        late_seconds: float = 0.0,
    ) -> str:
        """Save where it is time to, in a thread of its own.

        Args:
            session, source, reached_seconds, questions: what there is to be saved.
            late_seconds: how long ago ``reached_seconds`` was due; a live source has gone on since.

        Returns:
            What went wrong with the save before this one, once; mostly nothing.
        """
        is_writing = self._writing is not None and self._writing.is_alive()
        is_due = time.monotonic() - self._last >= self._every_seconds and not is_writing
        if is_due and (self._writing is None or self._turns.take(self._every_seconds)):
            self._last = time.monotonic()
            content = self._content(session, source, reached_seconds, questions, late_seconds)
            self._writing = threading.Thread(target=self._write, args=content, name="svlm-state")
            self._writing.start()
        failure, self._failure = self._failure, ""
        return failure

    def save(
        self,
        session: StreamSession,
        source: str,
        reached_seconds: float,
        questions: Questions,
        late_seconds: float = 0.0,
    ) -> str:
        """Save now, at the end of the stream, with what ``save_if_due`` takes.

        Returns:
            What went wrong; mostly nothing.
        """
        self.close()
        self._settle()
        self._write(*self._content(session, source, reached_seconds, questions, late_seconds))
        failure, self._failure = self._failure, ""
        return failure

    def close(self) -> None:
        """Wait until nothing is being written."""
        if self._writing is not None:
            self._writing.join()

    def _content(
        self,
        session: StreamSession,
        source: str,
        reached_seconds: float,
        questions: Questions,
        late_seconds: float,
    ) -> tuple[dict[str, Any], Mapping[str, torch.Tensor]]:
        snapshot = session.snapshot()
        header = {
            "made_with": self._made_with or _made_with(session),
            "source": source,
            "reached_seconds": reached_seconds,
            "saved_at": time.time() - late_seconds,
            "outputs": dict(self._outputs()),
            "held": dict(self._held()),
            "questions": questions.waiting(),
            "session": snapshot.plain,
        }
        return header, snapshot.tensors

    def _write(self, header: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        try:
            self._sync_outputs()
            write_state(self.path, header, tensors)
        except Exception as error:  # of its thread it would be lost
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            rest = "; the last one stays" if self.path.is_file() else ""
            self._failure = f"the state could not be saved to {self.path}: {reason}{rest}"
        self.has_failed = bool(self._failure)


def _made_with(session: StreamSession) -> dict[str, Any]:
    """All that decides what comes next, as JSON would give it back."""
    model = session.model
    facts = {
        "version": __version__,
        "model": model.fingerprint(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "kv_cache": str(model.kv_dtype).removeprefix("torch."),
        **_fixed(session.settings),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def _fixed(settings: StreamSettings) -> dict[str, Any]:
    chosen = asdict(settings)
    chosen |= chosen.pop("sampling")
    return {key: value for key, value in chosen.items() if key not in FREE_SETTINGS}
