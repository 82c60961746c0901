"""Streams of every family, killed at a random step and resumed, tell what undisturbed ones tell."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.settings import Policy
from tests.families import SQUARE
from tests.trust.streams import STATE, run, told

NUM_STEPS = 7
# The first ones have a state with more in it than keys and values, or no M-RoPE.
FIRST = [("qwen3_vl", Policy.RECOMPUTE), ("smolvlm", Policy.STREAMING)]
ALL = [*FIRST, *(each for each in product(sorted(FAMILIES), Policy) if each not in FIRST)]


@pytest.fixture(scope="module")
def checkpoint_of(
    part_of_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("checkpoints")

    def made(family: str) -> Path:
        if not (folder / family).exists():
            build_random_checkpoint(
                folder / family, family=family, vocabulary=str(part_of_vocabulary), spread=3.0
            )
        return folder / family

    return made


def options(checkpoint: Path, policy: Policy) -> list[str]:
    pixels = [] if checkpoint.name in SQUARE else ["--min-pixels=4096", "--max-pixels=8192"]
    return [
        f"--model={checkpoint}",
        "--device=cpu",
        f"--policy={policy}",
        "--restart-seconds=3",
        f"--duration={NUM_STEPS}",
        "--max-new-tokens=4",
        *pixels,
    ]


def steps_told(folder: Path) -> int:
    path = folder / "x.jsonl"
    return path.read_text().count('"step"') if path.exists() else 0


@pytest.mark.filterwarnings("ignore")
def test_a_killed_stream_of_any_family_goes_on_as_if_undisturbed(
    tmp_path: Path, checkpoint_of, cases, tally
) -> None:
    num_kills = 0
    for number in cases(len(FIRST), len(ALL)):
        family, policy = ALL[number]
        how = options(checkpoint_of(family), policy)
        whole, folder = tmp_path / f"{number} whole", tmp_path / f"{number} killed"
        whole.mkdir()
        folder.mkdir()
        quiet = run(whole, *how)
        assert quiet.wait() == 0, quiet.talk
        dice = random.Random(number)
        state, at = folder / STATE, dice.randrange(2, NUM_STEPS)
        stream = run(folder, *how, f"--save-state={state}", "--save-every=0.01")
        deadline = time.monotonic() + 60
        while (steps_told(folder) < at or not state.exists()) and stream.process.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        num_kills += stream.process.is_alive()
        stream.signal(signal.SIGKILL)
        stream.wait()
        assert state.exists(), stream.talk
        again = run(folder, *how, f"--save-state={state}", f"--resume={state}")
        assert again.wait() == 0, again.talk
        assert told(folder) == told(whole), (family, policy)
    tally(
        "a stream of any family that is killed at a step and resumed: what an undisturbed one tells",
        num_kills,
    )
    assert num_kills
