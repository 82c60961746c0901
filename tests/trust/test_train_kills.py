"""A training that is killed at any moment and resumed ends as the one that was not."""

from __future__ import annotations

import functools
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trust.training import at_event, command, end_of, in_a_child, least_recipe, run

NUM_EVENTS = 380  # a few more than the whole run makes
MOST_DELAY = 0.02
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    in_a_child(lambda: run(least_recipe("a", "b"), output)).join()
    return output


def struck(start: Callable[[], None], output: Path, number: int, delay: float, how: signal.Signals) -> None:
    """Run it until a signal comes, at the ``number``-th change in its folder or ``delay`` seconds later."""

    def strike(*_: object) -> None:
        os.kill(os.getpid(), how)

    def later() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL if how == signal.SIGKILL else strike)
        signal.setitimer(signal.ITIMER_REAL, delay)

    at_event(number, output, later if delay else strike)
    start()


def test_a_killed_training_resumed_is_the_undisturbed_one(
    undisturbed: Path, tmp_path: Path, cases: Callable[[int, int], range], tally: Callable[[str, int], None]
) -> None:
    """Killed up to three times, in the middle of a write or between; the last run is let go on."""
    num_killed = 0
    chosen = cases(2, 40)
    for case in chosen:
        dice = random.Random(f"kill {case}")
        output = tmp_path / f"run{case}"
        start = command(least_recipe("a", "b"), output)
        for _ in range(dice.randint(1, 3)):
            how = dice.choice(SIGNALS)
            number, delay = dice.randint(1, NUM_EVENTS), dice.choice([0.0, dice.uniform(0.0, MOST_DELAY)])
            process = in_a_child(functools.partial(struck, start, output, number, delay, how))
            process.join()
            code = process.exitcode
            assert code in (0, CODES[how], -signal.SIGALRM), (case, code)
            num_killed += code != 0
        told = run(least_recipe("a", "b"), output)
        assert not any("warning" in line for line in told), (case, told)
        for stage in ("a", "b"):
            assert end_of(output / stage) == end_of(undisturbed / stage), case
        left = {path.name for path in (output / "b").iterdir() if path.is_dir()}
        assert left == {f"checkpoint-{step}" for step in (1, 2, 3)} | {"final"}
    assert num_killed >= len(chosen) // 2
    tally("a training killed at any moment and resumed ends as the undisturbed one, to the bit", num_killed)
