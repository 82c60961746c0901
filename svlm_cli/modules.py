"""What the commands that are run as ``python -m svlm_cli....`` share: how they refuse, fail and exit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.text import visible


class ModuleParser(argparse.ArgumentParser):
    """argparse's, whose errors show the control characters of what was typed."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error; exit with 2."""
        super().error(visible(message))


def run_module(work: Callable[[], str]) -> int:
    """Do the work and print what it returns; an error is one line on standard error.

    Args:
        work: returns a line for standard output.

    Returns:
        The exit code: 0, 2 where the command line is wrong, else 1.
    """
    try:
        done = work()
    except (SvlmError, OSError) as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(visible(done))
    return 0
