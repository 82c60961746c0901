"""Damaged media end nothing: no uncaught exception, no hang, and the good file beside them arrives.

Seeds are small and harmless; all damage comes from the number of the case. The work is done in processes of
their own, which survive what outside libraries do: where libav itself crashes or hangs, that is counted and
told, and is no failure of this test.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from svlm_cli.media.audio import SAMPLE_RATE, read_sound
from svlm_cli.media.file.reader import open_video
from tests.trust.media_seeds import KINDS, SECONDS, damaged, make_seeds

HANG_SECONDS = 30
ROOT = Path(__file__).resolve().parents[2]
# Of eight cases; the command itself is tried in one of sixteen, as it loads a model.
TURNS = ("clips", "fetch", "sound", "clips", "live", "fetch", "clips", "sound")
# Where a hang is one of libav: the call that did not return.
DOORS = ("media/container.py", "media/convert.py", "media/probe.py", "media/remux.py")


class Worker:
    """A process of ``media_worker``, started anew when it has died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def ask(self, way: str, path: Path, good: Path) -> str:
        """What it answers; ``crash`` or ``hang: outside`` where an outside library was at fault.

        A hang is one that comes again: a busy machine makes everything slow.
        """
        told = self._asked(way, path, good)
        return self._asked(way, path, good) if told.startswith("hang") else told

    def _asked(self, way: str, path: Path, good: Path) -> str:
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"way": way, "path": str(path), "good": str(good)}) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], HANG_SECONDS)[0]:
            self.close()
            return f"hang: {self._place()}"
        line = process.stdout.readline()
        if line:
            told: str = json.loads(line)
            return told
        code = process.wait()
        self.close()
        return "crash" if code < 0 else f"uncaught: exit {code}: {self._told()}"

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        """A process that has loaded all it needs."""
        with (self._folder / "told").open("w+") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.trust.media_worker"],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
            )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "ready"
        return process

    def _told(self) -> str:
        return (self._folder / "told").read_text(errors="replace")

    def _place(self) -> str:
        """``outside`` where a thread stands in a call of libav, else all stacks."""
        told = self._told()
        innermost = [block.split("\n")[1] for block in told.split("Thread ")[1:] if "\n" in block]
        return "outside" if any(door in line for line in innermost for door in DOORS) else told


@contextmanager
def workers(folder: Path, count: int) -> Iterator[list[Worker]]:
    found = [Worker(folder / str(number)) for number in range(count)]
    for number in range(count):
        (folder / str(number)).mkdir()
    try:
        yield found
    finally:
        for worker in found:
            worker.close()


def tried(numbers: Sequence[int], seeds: Sequence[Path], folder: Path, worker: Worker) -> dict[int, str]:
    """What became of each case, in a folder of its own that holds one file at a time."""
    contents = [seed.read_bytes() for seed in seeds]
    told: dict[int, str] = {}
    for number in numbers:
        dice = Random(f"media {number}")
        which = dice.randrange(len(seeds))
        path = folder / f"case{seeds[which].suffix}"
        path.write_bytes(damaged(contents[which], dice.choice(contents), dice))
        way = "stream" if number % 16 == 15 else TURNS[number // 2 % 8]
        told[number] = worker.ask(way, path, seeds[0])
        for left in folder.glob("case*"):
            left.unlink()
    return told


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def test_every_seed_is_whole(seeds: list[Path]) -> None:
    for seed in seeds:
        if KINDS[seed.name][0] is None:
            continue
        with open_video(seed) as reader:
            assert len(list(reader.clips(2, 1.0))) >= SECONDS
            assert not reader.problems
        if KINDS[seed.name][1] is not None:
            assert len(read_sound(str(seed))) > 2.5 * SAMPLE_RATE


def test_damaged_media_end_nothing(
    seeds: list[Path],
    tmp_path: Path,
    cases: Callable[[int, int], range],
    tally: Callable[[str, int], None],
) -> None:
    numbers = cases(32, 1200)
    count = 1 if len(numbers) < 100 else 2
    with workers(tmp_path, count) as found, ThreadPoolExecutor(count) as pool:
        shares = [numbers[first::count] for first in range(count)]
        folders = [tmp_path / str(number) for number in range(count)]
        results = pool.map(tried, shares, [seeds] * count, folders, found)
        told = {number: what for share in results for number, what in share.items()}
    ours = {
        number: what
        for number, what in told.items()
        if what.startswith(("uncaught", "hang: ")) and what != "hang: outside"
    }
    kinds = Counter(what.split(":")[0] for what in told.values())
    print(f"\n{dict(kinds)}")
    assert not ours, "\n\n".join(
        f"case {number}: {what[-3000:]}" for number, what in sorted(ours.items())[:5]
    )
    assert kinds["ok"] > len(told) // 20
    assert kinds["refused"] > len(told) // 20
    tally("damaged media: no uncaught exception, no hang over 30 s of svlm's own, exit 0 or 1", len(told))
