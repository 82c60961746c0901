"""The pairing against all pairings there are."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.bench.arena.pairing import pair_up


def every_pairing(true: list[int], said: list[int]) -> Iterator[list[tuple[int, int]]]:
    """All one-to-one pairings within a second, crossing ones too."""
    if not true:
        yield []
        return
    for rest in every_pairing(true[:-1], said):
        yield rest
        used = {j for _, j in rest}
        for j, second in enumerate(said):
            if j not in used and abs(second - true[-1]) <= 1:
                yield [*rest, (len(true) - 1, j)]


def worth(pairs: list[tuple[int, int]], true: list[int], said: list[int]) -> tuple[int, int, int]:
    return len(pairs), -sum(abs(true[i] - said[j]) for i, j in pairs), -sum(j for _, j in pairs)


seconds = st.lists(st.integers(0, 8), max_size=5).map(sorted)


@given(true=seconds, said=seconds)
@settings(max_examples=400, deadline=None)
def test_no_pairing_is_better(true: list[int], said: list[int]) -> None:
    pairs = pair_up(true, said)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(abs(true[i] - said[j]) <= 1 for i, j in pairs)
    assert pairs == sorted(pairs)
    assert [j for _, j in pairs] == sorted(j for _, j in pairs)
    best = max(worth(each, true, said) for each in every_pairing(true, said))
    assert worth(pairs, true, said) == best
