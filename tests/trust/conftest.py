"""How many cases a promise of docs/reliability.md is tried on, and the table of one run.

The default run tries a bounded, seeded share; ``python -m pytest tests/trust --whole --tally FILE`` tries all
and writes the table's rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

TALLY = pytest.StashKey[Counter[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Counter()


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[int, int], range]:
    """``cases(share, whole)``: numbers to seed cases with, ``share`` by default, ``whole`` under --whole."""

    def choose(share: int, whole: int) -> range:
        return range(whole if request.config.getoption("--whole") else share)

    return choose


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """``tally(promise, count)``: this test has held a promise on so many cases; call it when all passed."""

    def add(promise: str, count: int) -> None:
        file, _, name = request.node.nodeid.partition("::")
        request.config.stash[TALLY][promise, f"{file}::{name.partition('[')[0]}"] += count

    return add


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = session.config.getoption("--tally")
    if target is None:
        return
    counts = session.config.stash[TALLY]
    rows = [f"| {promise} | `{test}` | {count} |" for (promise, test), count in sorted(counts.items())]
    Path(target).write_text("\n".join(["| promise | test | cases |", "|---|---|---|", *rows]) + "\n")
