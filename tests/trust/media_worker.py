"""A process that meets damaged media: what to do with which file is a line of JSON, and so is the answer.

Crashes of outside libraries end it, hangs of theirs stop it: whoever started it watches.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from svlm_cli.errors import SvlmError

MEMORY_BYTES = 12 << 30
PATIENCE_SECONDS = 25
UNEXPECTED = "run again with --verbose for the traceback"


def clips(path: Path, _good: Path) -> None:
    """All clips, then frames here and there."""
    from svlm_cli.media.file.reader import open_video

    with open_video(path) as reader:
        for clip in reader.clips(2, 1.0):
            assert clip.frames.shape[0] == 2
        assert isinstance(reader.problems, list)
        reader.frames_at([2.0, 0.5, 1e7])


def sound(path: Path, _good: Path) -> None:
    """The whole sound track."""
    from svlm_cli.media.audio import read_sound

    assert len(read_sound(str(path))) < 1e9


def fetch(path: Path, good: Path) -> None:
    """Into a folder, beside a good file: that one must arrive."""
    from svlm_cli.data.fetch.folder import fetch_all
    from svlm_cli.data.fetch.one import FetchOptions

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        results = list(fetch_all([str(path), str(good)], Path(folder), FetchOptions(workers=1)))
    assert len(results) == 2
    assert next(result for result in results if result.source == str(good)).video is not None
    bad = next(result for result in results if result.source == str(path))
    assert bad.video is not None or bad.problem
    assert not any(name in bad.problem for name in ("failed: ", "Error:")), bad.problem


def live(path: Path, _good: Path) -> None:
    """Over HTTP, as a live source."""
    from svlm_cli.media.address import LiveOptions
    from svlm_cli.media.live.source import open_live

    options = LiveOptions(stall_seconds=3, reconnect_seconds=0)
    with _served(path) as address, open_live(address, options) as source:
        for clip in source.clips(2, 1.0, duration_seconds=600):
            assert clip.frames.shape[0] == 2


def stream(path: Path, _good: Path) -> None:
    """The command itself, with the model that comes along."""
    from svlm_cli.cli import run

    words = path.with_suffix(".vtt")
    code = run(["stream", str(path), "--duration", "1", "--quiet", "--out", str(words)])
    assert code in (0, 1)
    told = os.pread(2, 1 << 20, 0).decode(errors="replace")
    assert UNEXPECTED not in told, told


WAYS: dict[str, Callable[[Path, Path], None]] = {
    way.__name__: way for way in (clips, sound, fetch, live, stream)
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()


@contextlib.contextmanager
def _served(path: Path):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=path.parent)) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{path.name}"
        finally:
            server.shutdown()


def answer(way: str, path: Path, good: Path) -> str:
    """``ok``, ``refused`` with the reason, or ``uncaught`` with the trace."""
    strays: list[str] = []
    threading.excepthook = lambda stray: strays.append("".join(traceback.format_exception(stray.exc_value)))
    os.ftruncate(2, 0)
    faulthandler.dump_traceback_later(PATIENCE_SECONDS, file=sys.stderr)
    try:
        WAYS[way](path, good)
        told = "ok"
    except SvlmError as error:
        told = f"refused: {error}"
    except BaseException:
        told = f"uncaught: {traceback.format_exc()}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    return f"uncaught in a thread: {strays[0]}" if strays else told


def main() -> None:
    """Work through standard input; standard error must be a file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    with os.fdopen(os.dup(1), "w") as answers, open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        import svlm_cli.model.load
        import svlm_cli.stream.loop  # noqa: F401

        print(json.dumps("ready"), file=answers, flush=True)
        for line in sys.stdin:
            case = json.loads(line)
            told = answer(case["way"], Path(case["path"]), Path(case["good"]))
            print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
