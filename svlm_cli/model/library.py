"""Keeping transformers from talking over svlm."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_library() -> Iterator[None]:
    """Keep transformers from talking on standard error: what it says comes back as one error.

    Where nobody has imported it, nothing is done: importing it takes half a second.
    """
    if "transformers" not in sys.modules:
        yield
        return
    from transformers.utils import logging as talk

    verbosity, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(talk.CRITICAL)
    talk.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
            yield
    finally:
        talk.set_verbosity(verbosity)
        if bars:
            talk.enable_progress_bar()
