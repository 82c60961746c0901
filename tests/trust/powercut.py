"""Power cuts as databases test them: a run is recorded, what was not synced is dropped, the run goes on.

After ALICE (Pillai et al., OSDI 2014) and CrashMonkey (Mohan et al., OSDI 2018). ``recording`` tells what a
command does to a folder, ``disk`` what of it is there after a cut at a moment. Here each such state is laid
out in the folder itself, so that paths that are stored mean what they meant, and the command runs again.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.trust.disk import Disk, How, Recording, Tree

MOST_TRIES = 50


@dataclass(frozen=True, slots=True)
class Cut:
    """A state of a folder after a power cut.

    Args:
        moment: operations done.
        how: much of what was not synced is there.
        tree: what is there.
    """

    moment: int
    how: How
    tree: Tree


def every_cut(recording: Recording, dice: random.Random, num_random: int) -> Iterator[Cut]:
    """Every moment: the least, the most, and some states between; each state once."""
    disk, seen = Disk(recording), set[int]()
    for moment in disk.moments():
        for how in (How.LEAST, How.MOST, *[How.SOME] * num_random):
            tree = disk.cut(moment, how, dice)
            if (key := hash(tuple(tree.items()))) not in seen:
                seen.add(key)
                yield Cut(moment, how, tree)


def some_cuts(recording: Recording, numbers: Sequence[int], seed: str) -> Iterator[Cut]:
    """A state for each number, at random moments; each state once, and fewer where there are no others."""
    disk, seen = Disk(recording), set[int]()
    moments = disk.moments()
    for number in numbers:
        dice = random.Random(f"{seed} {number}")
        for _ in range(MOST_TRIES):
            moment, how = dice.choice(moments), list(How)[number % 5 if number % 5 < 2 else 2]
            tree = disk.cut(moment, how, dice)
            if (key := hash(tuple(tree.items()))) not in seen:
                seen.add(key)
                yield Cut(moment, how, tree)
                break


def lay_out(tree: Tree, folder: Path) -> None:
    """Make a folder hold this and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in tree.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
