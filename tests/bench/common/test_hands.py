"""Pieces of work in jobs: each is told once, whatever is lost on the way."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from svlm_cli.bench.common.hands import ModelCrew, ModelJob, _Over
from svlm_cli.errors import OutputError, SourceError
from svlm_cli.types import WarningEvent
from svlm_cli.work.jobs import Aside, BegunAgain, Came, Ended, Heard, JobLostError


class Script:
    """A crew whose jobs are lost at moments drawn, and begin again as often as that."""

    def __init__(self, seed: int, *, gives_up: bool = False) -> None:
        self._dice = random.Random(seed)
        self._gives_up = gives_up
        self._jobs: list[ModelJob[str]] = []
        self.num_lost = 0

    def add(self, jobs: Iterable[ModelJob[str]]) -> None:
        self._jobs += jobs

    def events(self) -> Iterator[Heard[ModelJob[str], Any]]:
        for job in self._jobs:
            said = [
                (number, event)
                for number, work in enumerate(job.works)
                for event in (f"{work} begins", _Over(SourceError(work) if work.endswith("7") else None))
            ]
            while self._gives_up or self._dice.random() < 0.5:
                for event in said[: self._dice.randrange(len(said))]:
                    yield Came(job, event)
                self.num_lost += 1
                if self._gives_up:
                    yield Ended(job, JobLostError("lost"))
                    break
                yield BegunAgain(job, "lost")
            else:
                yield from (Came(job, event) for event in said)
                yield Ended(job)
            yield Aside("a word")

    def close(self) -> None: ...


@pytest.mark.parametrize("seed", range(8))
def test_each_piece_ends_once_though_its_job_begins_again(seed: int) -> None:
    pieces = [f"piece {number}" for number in range(20)]
    script = Script(seed)
    ended: dict[str, object] = {}
    again: dict[str, int] = dict.fromkeys(pieces, 0)
    begun: dict[str, int] = dict.fromkeys(pieces, 0)
    warnings = 0
    for heard in ModelCrew(script, 1 + seed % 4).work(pieces):
        match heard:
            case Came(job=piece, event=event):
                assert piece not in ended
                assert event == f"{piece} begins"
                begun[piece] += 1
            case Ended(job=piece, error=error):
                assert piece not in ended
                ended[piece] = error
            case BegunAgain(job=piece):
                assert piece not in ended
                again[piece] += 1
            case WarningEvent():
                warnings += 1
    assert list(ended) == pieces
    assert {piece for piece, error in ended.items() if error} == {"piece 7", "piece 17"}
    assert all(1 <= begun[piece] <= 1 + again[piece] for piece in pieces)
    assert warnings == script.num_lost + -(-len(pieces) // (1 + seed % 4))


def test_pieces_of_a_job_that_is_given_up_end_with_that() -> None:
    pieces = [f"piece {number}" for number in range(9)]
    heard = [each for each in ModelCrew(Script(0, gives_up=True), 3).work(pieces) if isinstance(each, Ended)]
    assert [each.job for each in heard] == pieces
    assert any(isinstance(each.error, JobLostError) for each in heard)
    assert not any(isinstance(each.error, OutputError) for each in heard)
