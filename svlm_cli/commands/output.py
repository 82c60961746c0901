"""Standard output is data, standard error is talk: the two helpers every command writes through."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from svlm_cli.claims import release_all
from svlm_cli.errors import OutputError
from svlm_cli.text import one_line, visible

INTERRUPTED = 130
_RAY_THREADS = ("ray_listen_error_messages", "ray_print_logs")
_MOST_NAMED = 10


class ReaderGone(Exception):  # noqa: N818 - not an error: `| head` has seen enough
    """Nobody reads standard output any more."""


class TalkConsole(Console):
    """Standard error: colours on a terminal only, a lost reader ignored, no control character of others.

    What is printed, in lines, bars or status, is text from anywhere; the console alone moves the cursor.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        file = stream or sys.stderr
        super().__init__(
            file=file,
            force_terminal=file.isatty(),
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
        )

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or fall silent for good where that fails: talk must not end the work."""
        try:  # made visible here: rich takes some controls out of text without a word
            super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)
        except OSError:
            self.on_broken_pipe()

    def tell(self, message: str, style: str = "", *, indent: str = "") -> None:
        """One line of talk, whatever names and titles in it hold."""
        self.print(Text(f"{indent}{one_line(message)}", style=style))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, with the control characters of text made visible."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible(text), style)

    def on_broken_pipe(self) -> None:
        """Fall silent (rich would exit here)."""
        self.quiet = True
        _silence(self.file)


def prepare_streams() -> None:
    """Make both streams safe to write: open even if the caller closed them, no character refused."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def leaving_at_once(console: TalkConsole) -> Iterator[None]:
    """On Ctrl-C or SIGTERM let go of what is claimed and end the process without waiting for its threads.

    They may hang in a socket or in Whisper for long; what else they leave behind is what a kill leaves, which
    the next run takes up.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        release_all(for_good=True)
        console.print("stopped; run the same command again to go on")
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else INTERRUPTED)


class _Prints(io.StringIO):
    """Passes on what libraries print, to standard error.

    Args:
        verbose: pass on what Ray prints too: pages of its logs where a node is lost, told in a line here.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose

    def write(self, text: str) -> int:
        """As files have it."""
        if self._verbose or not threading.current_thread().name.startswith(_RAY_THREADS):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """As files have it."""
        sys.stderr.flush()

    def fileno(self) -> int:
        """As files have it: for what a library starts."""
        return sys.stderr.fileno()


@contextmanager
def prints_are_talk(*, verbose: bool = False) -> Iterator[None]:
    """While work is done, what libraries print goes to standard error; what Ray does only if verbose."""
    with redirect_stdout(_Prints(verbose=verbose)):
        yield


def emit(line: str, out: TextIO | None = None) -> None:
    """Print one line of data, its control characters made visible, and flush it.

    Raises:
        ReaderGone: the reading end of a pipe is closed.
        OutputError: standard output cannot be written.
    """
    out = out or sys.stdout
    try:
        out.write(visible(line) + "\n")
        out.flush()
    except BrokenPipeError:
        _silence(out)
        raise ReaderGone from None
    except OSError as error:
        _silence(out)
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


def some_of(names: Sequence[str]) -> str:
    """Names in a row, the first few of many."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def tell_left_out(console: TalkConsole, folder: Path | str, names: Sequence[str], kind: str) -> None:
    """Say what of a folder is left out: files, as they are not what is looked for, and folders within it.

    Args:
        console: where to say it.
        folder: the folder.
        names: the names of what is left out, those of folders with ``/`` at their end.
        kind: what the files are not, e.g. ``no video``.
    """
    files = [name for name in names if not name.endswith("/")]
    inner = [name for name in names if name.endswith("/")]
    if files:
        console.tell(f"left out of {folder}, as {kind}: {some_of(files)}")
    if inner:
        console.tell(f"folders within {folder} are not looked into, name them too: {some_of(inner)}")


def print_error(message: str) -> None:
    """One red line on standard error."""
    TalkConsole().tell(f"error: {message}", "bold red")


def _silence(stream: object) -> None:
    """Point a broken stream at nothing, so that the interpreter's last flush cannot fail."""
    with suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())  # type: ignore[attr-defined]
        os.close(nothing)
