"""Entry point of ``svlm`` and ``python -m svlm_cli``."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from svlm_cli.cli import run

TERMINATED = 128 + signal.SIGTERM


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def main() -> None:
    """Run the command line; SIGTERM ends it as cleanly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
