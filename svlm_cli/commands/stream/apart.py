"""What several channels may not share."""

from __future__ import annotations

import os
from collections.abc import Sequence

from svlm_cli.commands.stream import run as one
from svlm_cli.commands.stream.channel_file import NAME, ChannelSpec
from svlm_cli.errors import SvlmError, UsageError


def require_apart(specs: Sequence[ChannelSpec]) -> None:
    """No two channels may write one file, go on from one or read standard input.

    Raises:
        UsageError: two would.
        SvlmError: one of them cannot be; says which.
    """
    taken: dict[str, str] = {}
    for spec in specs:
        try:
            one.check(spec.source, spec.asking, spec.kept)
        except SvlmError as error:
            raise type(error)(f"{spec.name}: {error.message}", error.hint) from error
        kept = spec.kept
        for path in (*kept.outputs, *filter(None, (kept.trace, kept.save_state, kept.resumed))):
            real = os.path.realpath(path)
            if taken.get(real, spec.name) != spec.name:
                what = "go on from" if path == kept.resumed else "write"
                told = f"the channels {taken[real]} and {spec.name} would both {what} {path}"
                raise UsageError(told, f"write {NAME} in its name, e.g. --out 'air/{NAME}.vtt'")
            taken[real] = spec.name
    for spec in specs:
        writer = taken.get(os.path.realpath(spec.source))
        if writer not in (None, spec.name):
            raise UsageError(f"{spec.source} is the source of {spec.name} and an output of {writer}")
    if sum(spec.source == "-" for spec in specs) > 1:
        raise UsageError("standard input can be the source of one channel only")
