"""fetch, align, chunk and bench, killed at any moment and run again, end as they do undisturbed."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.trust.disk import Tree
from tests.trust.forked import Svlm
from tests.trust.powercut import lay_out
from tests.trust.recording import tree_of
from tests.trust.runs import Run, loopback_runs, result_of

NAMES = ("fetch", "align", "chunk", "bench")
MOST_TRIES = 20


@dataclass(frozen=True, slots=True)
class Known:
    """A run undisturbed.

    Args:
        run: what is done.
        before: it.
        result: of it.
        seconds: that each of its commands takes.
    """

    run: Run
    before: Tree
    result: Any
    seconds: list[float]


@pytest.fixture(scope="module")
def known(
    tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]
) -> Iterator[dict[str, Known]]:
    base = tmp_path_factory.mktemp("kills").resolve()
    with loopback_runs(base, make_video) as all_runs:
        ended(Svlm(["--version"], base / "log"))  # what starts with the first process is not timed
        found = {}
        for name in NAMES:
            run, seconds = all_runs[name], []
            before = tree_of(run.folder) if run.folder.exists() else {}
            for command in run.commands:
                began = time.monotonic()
                ended(Svlm(list(command), base / "log"))
                seconds.append(time.monotonic() - began)
            found[name] = Known(run, before, result_of(run), seconds)
        yield found


def ended(process: Svlm) -> None:
    assert process.wait() == 0, process.talk


def was_killed(one: Known, dice: random.Random, log: Path) -> bool:
    """Run from the start, and kill at a random moment; False where it had ended before."""
    lay_out(one.before, one.run.folder)
    share = dice.uniform(0, sum(one.seconds))
    for command, seconds in zip(one.run.commands, one.seconds, strict=True):
        process = Svlm(list(command), log)
        if share < seconds:
            time.sleep(share)
            process.signal(signal.SIGKILL)
            return process.wait() == -signal.SIGKILL
        share -= seconds
        ended(process)
    return False


@pytest.mark.parametrize("name", NAMES)
def test_killed_and_run_again_it_ends_as_undisturbed(
    name: str,
    known: dict[str, Known],
    tmp_path: Path,
    cases: Callable[[int, int], range],
    tally: Callable[[str, int], None],
) -> None:
    one = known[name]
    numbers = cases(1, 25)
    for number in numbers:
        dice = random.Random(f"{name} {number}")
        assert any(was_killed(one, dice, tmp_path / "log") for _ in range(MOST_TRIES))
        one.run.check(one.run.folder)
        for command in one.run.again():
            ended(Svlm(list(command), tmp_path / "log"))
        assert result_of(one.run) == one.result, (name, number)
    tally(f"a kill of {name} at a random moment: the next run ends as an undisturbed one", len(numbers))
    shutil.rmtree(one.run.folder)
