"""A limit of processor time that a fault passes by far and a noisy machine never."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

MOST_SECONDS = 15.0


@contextmanager
def no_hang(what: object = "") -> Iterator[None]:
    """What runs inside takes less than `MOST_SECONDS` of this thread. A fault must need minutes for it.

    Other threads do not count, and nothing is measured by it: a sound run takes some tenths of a second.
    """
    begun = time.thread_time()
    yield
    assert time.thread_time() - begun < MOST_SECONDS, what
