"""Entry point of ``svlm`` and ``python -m svlm_cli``."""

from __future__ import annotations

import signal
import sys
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def main() -> None:
    """Run the command line; SIGTERM ends it as cleanly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        from svlm_cli.cli import run  # half a second in which Ctrl-C is no traceback

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
