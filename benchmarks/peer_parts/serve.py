"""An engine in a process of its own: JSON lines in, JSON lines out.

    python -m benchmarks.peer_parts.serve ENGINE FORMAT CHECKPOINT FOLDER CACHE

Whatever a library prints goes to stderr. An engine is a class with the methods of ``Engine``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.peer_parts.shapes import CHECKED_TOKENS, NUM_WORDS, STAGES, tokens


class Engine(Protocol):
    """What is asked of an engine.

    It is made of a format, a checkpoint's folder, one for its files, and ``default`` or, where it can keep
    keys and values in the format that it computes in, ``same``.
    """

    def told(self) -> dict[str, str]:
        """Its version, and what its format means."""

    def fill(self, cached: int) -> None:
        """Hold random keys and values of so many tokens, and no others."""

    def feed(self, ids: list[int]) -> np.ndarray:
        """Feed tokens behind those held; the logits after the last one, shape (v,)."""

    def show(self, pairs: int) -> Callable[[], np.ndarray]:
        """A way to run the tower over the pictures of so many pairs, which gives their tokens' features."""

    def floor(self, cached: int, new: int, pairs: int) -> float | None:
        """Seconds that one forward or one run of the tower cannot do without; None where it is not known.

        It is asked for once all have run.
        """


def measured(engine: Engine, name: str) -> float:
    """Processor milliseconds of a stage; of one word where it is words."""
    stage = STAGES[name]
    if stage.work == "tower":
        return _timed(engine.show(stage.size))
    engine.fill(stage.cached - 1)
    engine.feed(tokens(1))  # makes room for more
    if stage.work == "prefill":
        ids = tokens(stage.size)
        return _timed(lambda: engine.feed(ids))
    words = [[each] for each in tokens(NUM_WORDS)]

    def speak() -> np.ndarray:
        for word in words:
            logits = engine.feed(word)
        return logits

    return _timed(speak) / NUM_WORDS


def checked(engine: Engine, out: Path) -> None:
    """Write the logits behind a prefill and a word, and the features of a pair, to a file."""
    ids = tokens(CHECKED_TOKENS)
    engine.fill(0)
    engine.feed(ids[:-1])
    logits = np.array(engine.feed(ids[-1:]), dtype=np.float32)
    np.savez(out, logits=logits, features=np.array(engine.show(1)(), dtype=np.float32))


def warmed(engine: Engine, names: list[str]) -> None:
    """Run the shapes of all stages once, over a short cache; every tower takes one pair at a time."""
    for stage in (STAGES[name] for name in names):
        if stage.work == "tower":
            engine.show(1)()
        else:
            engine.fill(8)
            engine.feed(tokens(stage.size))


def _timed(work: Callable[[], np.ndarray]) -> float:
    began = time.process_time()
    found = work()
    taken = 1e3 * (time.process_time() - began)
    if not np.isfinite(found).all():
        raise ValueError("the numbers are not finite")
    return taken


def answered(engine: Engine, asked: dict[str, Any]) -> Any:
    """What is asked for; JSON."""
    if asked["do"] == "tell":
        return engine.told()
    if asked["do"] == "check":
        return checked(engine, Path(asked["out"]))
    if asked["do"] == "warm":
        return warmed(engine, asked["stages"])
    if asked["do"] == "measure":
        return measured(engine, asked["stage"])
    stage = STAGES[asked["stage"]]
    new, pairs = (0, stage.size) if stage.work == "tower" else (stage.size, 0)
    return engine.floor(stage.cached, new, pairs)


def main() -> None:
    name, number_format, checkpoint, folder, cache = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    made = importlib.import_module(f"benchmarks.peer_parts.by_{name}").Engine
    engine = made(number_format, Path(checkpoint), Path(folder), cache)
    for line in sys.stdin:
        found = answered(engine, json.loads(line))
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
