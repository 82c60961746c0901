"""Entry point of ``svlm`` and ``python -m svlm_cli``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def main(run: Callable[[Sequence[str]], int] | None = None) -> None:
    """Run the command line; SIGINT and SIGTERM end it cleanly, whatever the process has inherited.

    A shell without job control starts what runs in the background (``svlm ... &``) with SIGINT ignored, and
    Python leaves that so.

    Args:
        run: takes its words and gives the exit code; None for ``cli.run``.
    """
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if run is None:
            from svlm_cli import cli  # half a second in which Ctrl-C is no traceback

            run = cli.run
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
