"""A saved state with bytes turned, cut, put in or zeroed anywhere: refused with a reason, or the same."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svlm_cli.errors import StateError
from svlm_cli.stream.state import SavedState, load_state
from tests.trust.streams import STATE, run

KINDS = ("length", "header", "tensors", "cut", "put in", "zeroed", "appended", "swapped")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    stream = run(folder, "--duration=4", f"--save-state={folder / STATE}")
    assert stream.wait() == 0, stream.talk
    return folder / STATE


def damaged(content: bytes, kind: str, dice: random.Random) -> bytes:
    """``content`` with one damage."""
    changed = bytearray(content)
    end = 8 + int.from_bytes(content[:8], "little")
    place = dice.randrange(len(content))
    match kind:
        case "length":
            changed[dice.randrange(8)] ^= 1 << dice.randrange(8)
        case "header":
            changed[dice.randrange(8, end)] = dice.randrange(32, 127)
        case "tensors":
            changed[dice.randrange(end, len(content))] ^= 1 << dice.randrange(8)
        case "cut":
            del changed[place:]
        case "put in":
            changed[place:place] = dice.randbytes(dice.randrange(1, 9))
        case "zeroed":  # a block that a power cut has taken
            block = slice(place - place % 4096, place - place % 4096 + 4096)
            changed[block] = bytes(len(changed[block]))
        case "appended":
            changed += dice.randbytes(dice.randrange(1, 5000))
        case "swapped":
            other = dice.randrange(len(content))
            changed[place], changed[other] = changed[other], changed[place]
    return bytes(changed)


def is_same(found: SavedState, whole: SavedState) -> bool:
    tensors, others = found.snapshot.tensors, whole.snapshot.tensors
    return (
        replace(found, snapshot=whole.snapshot, path=whole.path) == whole
        and found.snapshot.plain == whole.snapshot.plain
        and tensors.keys() == others.keys()
        and all(each.dtype == others[name].dtype for name, each in tensors.items())
        and all(torch.equal(each, others[name]) for name, each in tensors.items())
    )


def test_a_damaged_state_is_refused_or_the_same(tmp_path: Path, state: Path, cases, tally) -> None:
    whole, content = load_state(state), state.read_bytes()
    refused: Counter[str] = Counter()
    for number in cases(64, 400):
        kind = KINDS[number % len(KINDS)]
        path = tmp_path / "damaged.svlm"
        path.write_bytes(damaged(content, kind, random.Random(number)))
        try:
            found = load_state(path)
        except StateError:
            refused[kind] += 1
        else:
            assert is_same(found, whole), (number, kind)
    num_cases = len(cases(64, 400))
    tally("a damaged state is refused with a reason, or is the same state", num_cases)
    assert refused.total() > 0.9 * num_cases
    assert set(refused) == set(KINDS)
