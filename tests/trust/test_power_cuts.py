"""After a power cut at any moment the next run ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run as svlm
from svlm_cli.media.web import halves
from tests.commands.running import ROOT
from tests.trust.disk import Recording
from tests.trust.powercut import lay_out, some_cuts
from tests.trust.recording import can_record, record
from tests.trust.runs import Run, loopback_runs, result_of, stream_run, train_run

pytestmark = pytest.mark.skipif(not can_record(), reason="strace is not here, or may not trace")

NAMES = ("fetch", "align", "chunk", "bench", "stream", "train")
# How many cuts of each are tried: by default, and with --whole. Only what is tried is recorded, and by
# default nothing that loads a model.
SHARES = {"fetch": 5, "align": 0, "chunk": 8, "bench": 2, "stream": 0, "train": 0}
WHOLE = {"fetch": 120, "align": 110, "chunk": 140, "bench": 60, "stream": 110, "train": 60}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run, what it did to its folder, and how it ended."""

    run: Run
    recording: Recording
    result: Any


@pytest.fixture(scope="module")
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]
) -> Iterator[dict[str, Recorded]]:
    """All runs, recorded in one process: importing what they need costs more than they do."""
    base = tmp_path_factory.mktemp("cuts").resolve()
    with loopback_runs(base, make_video) as data_runs:
        known = {**data_runs, "stream": stream_run(base), "train": train_run(base)}
        is_whole = request.config.getoption("--whole")
        all_runs = {name: run for name, run in known.items() if is_whole or SHARES[name]}
        commands = base / "commands.json"
        commands.write_text(json.dumps([each for run in all_runs.values() for each in run.commands]))
        for run in all_runs.values():
            run.folder.mkdir(parents=True, exist_ok=True)
        told = record(
            [sys.executable, "-m", "tests.trust.session", str(commands)],
            [run.folder for run in all_runs.values()],
            base / "trace",
            os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        yield {
            name: Recorded(run, recording, result_of(run))
            for (name, run), recording in zip(all_runs.items(), told, strict=True)
        }


@pytest.mark.parametrize("name", NAMES)
def test_after_a_power_cut(
    name: str,
    request: pytest.FixtureRequest,
    recorded: dict[str, Recorded],
    cases: Callable[[int, int], range],
    tally: Callable[[str, int], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = cases(SHARES[name], WHOLE[name])
    if not numbers:
        pytest.skip("tried with --whole")
    if name == "train":  # sums are rounded by how threads share them, and the recorded process has one
        request.getfixturevalue("one_thread")
    monkeypatch.setattr(halves, "boot_id", lambda: "the next start of the machine")
    one = recorded[name]
    num_cuts = 0
    for num_cuts, cut in enumerate(some_cuts(one.recording, numbers, name), 1):
        lay_out(cut.tree, one.run.folder)
        one.run.check(one.run.folder)
        recover(one, f"{name} {num_cuts}: {cut.how.value} at {cut.moment}", capsys)
    tally(f"a power cut of {name} at any moment: the next run ends as an undisturbed one", num_cuts)


def recover(one: Recorded, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Go on after a cut. A stream whose state is of its end has nothing left to say, and says so."""
    for command in one.run.again():
        code = svlm(list(command))
        told = capsys.readouterr().err
        assert not code or re.match(r"error: \S+ ends at \S+ s, before the start at ", told), (place, told)
    assert result_of(one.run) == one.result, place
