"""Two processes that would write the same: one does, the other is refused at once and nothing is lost."""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.errors import OutputError
from svlm_cli.train.arena.frames import WindowStore
from tests.trust.training import at_event, command, end_of, in_a_child, least_recipe, run

# --- svlm train ---


def stops_itself(start: Callable[[], None], output: Path, number: int) -> None:
    at_event(number, output, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    start()


def wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.01)
    raise AssertionError("the first writer never came to its place")


@pytest.mark.usefixtures("one_thread")
def test_a_second_training_is_refused_whatever_the_first_is_at(
    tmp_path: Path, cases: Callable[[int, int], range], tally: Callable[[str, int], None]
) -> None:
    """The first one stands still at a random change; the second is the command, or the function."""
    recipe = least_recipe()
    run(recipe, tmp_path / "alone")
    chosen = cases(2, 12)
    for case in chosen:
        number = random.Random(f"two trainings {case}").randint(4, 150)
        output = tmp_path / f"run{case}"
        start = command(recipe, output)
        first = in_a_child(functools.partial(stops_itself, start, output, number))
        assert first.pid is not None
        wait_until_stopped(first.pid)
        before = {path: path.stat().st_mtime_ns for path in sorted(output.rglob("*"))}
        if case % 2:
            second = in_a_child(start)
            second.join()
            assert second.exitcode == 1, case
        else:
            with pytest.raises(OutputError, match=f"being written by process {first.pid} "):
                run(recipe, output)
        assert before == {path: path.stat().st_mtime_ns for path in sorted(output.rglob("*"))}, case
        os.kill(first.pid, signal.SIGCONT)
        first.join()
        assert first.exitcode == 0, case
        assert end_of(output / "s") == end_of(tmp_path / "alone" / "s"), case
        assert not (output / ".lock").exists()
    tally("a second training into one folder is refused, the first ends as if alone", len(chosen))


def test_two_trainings_may_draw_windows_into_one_folder(tmp_path: Path) -> None:
    """Runs that share ``data.windows``: both read what one alone would draw, whoever comes first."""

    def draw(folder: Path, copy: Path) -> None:
        store = WindowStore(folder)
        for number in (0, 1):
            np.save(copy.with_name(f"{copy.name}{number}.npy"), store.second(number, 2, 3).frames)

    (tmp_path / "shared").mkdir()
    writers = [
        in_a_child(functools.partial(draw, tmp_path / "shared", tmp_path / f"copy{number}-"))
        for number in (0, 1)
    ]
    draw(tmp_path / "alone", tmp_path / "copy2-")
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    for number in (0, 1):
        one, two, alone = (np.load(tmp_path / f"copy{who}-{number}.npy") for who in range(3))
        assert (one == alone).all()
        assert (two == alone).all()
    names = [sorted(path.name for path in (tmp_path / part).iterdir()) for part in ("shared", "alone")]
    assert names[0] == names[1]


@pytest.mark.parametrize("suffix", [".json", "-2.npz"])
def test_a_window_that_is_damaged_is_drawn_again(tmp_path: Path, suffix: str) -> None:
    drawn = WindowStore(tmp_path).second(0, 2, 3)
    path = tmp_path / f"000000{suffix}"
    whole = path.read_bytes()
    for damaged in (b"", b"[[1]]", whole[: len(whole) // 2], whole[:200] + b"\0" * 900 + whole[1100:]):
        path.write_bytes(damaged)
        again = WindowStore(tmp_path).second(0, 2, 3)
        assert (again.frames == drawn.frames).all()
        assert (again.beat, again.sight, again.kits) == (drawn.beat, drawn.sight, drawn.kits)
