"""Three nodes of Ray, one of them killed in the midst: align, commentary and the arena end as on one machine.

For --whole alone, as each of the three starts many programs; the crew itself is tested beside its room.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.bench import made_data
from tests.data.whisper import SAMPLE_RATE, say, tiny_whisper

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
ROOT = Path(__file__).resolve().parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
MINUTE = ["--max-new-tokens", "3", "--max-pixels", "20000", "--device", "cpu", "--threads", "1"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    for _ in range(2):
        made.add_node(**NODE)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@dataclass(frozen=True)
class Case:
    """A command that writes to a folder, its last argument.

    Args:
        arguments: but for the folder, which comes last.
        num_done: how many pieces a folder has.
        result: what the folder holds in the end.
        num: of pieces in all.
    """

    arguments: list[str]
    num_done: Callable[[Path], int]
    result: Callable[[Path], object]
    num: int


def lines(folder: Path) -> list[dict[str, object]]:
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def clips(tmp_path: Path) -> Case:
    """12 clips of speech, each with words of its own."""
    spoken = [say(f"number {number} shoots and scores for the lions", tmp_path) for number in range(12)]
    (tmp_path / "speech.wav").unlink()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        for number, sound in enumerate(spoken):
            with wave.open(str(tmp_path / name / f"clip{number:02}.wav"), "wb") as file:
                file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                silence = np.zeros(SAMPLE_RATE, np.int16)
                file.writeframes(np.concatenate([silence, *([sound, silence] * 3)]).tobytes())
    whisper = ["--whisper-model", tiny_whisper(), "--device", "cpu", "--threads", "1"]
    return Case(
        ["align", *whisper],
        lambda folder: len(list(folder.glob("*.vtt"))),
        lambda folder: {
            path.name: [path.read_text(), json.loads(path.with_suffix(".json").read_text())["words"]]
            for path in sorted(folder.glob("*.vtt"))
        },
        12,
    )


def commentary(tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]) -> Case:
    """6 pieces of 40 s of two games."""
    games = []
    for name in ("cup.mp4", "night.mp4"):
        make_video(tmp_path / name, seconds=120)
        content = [[second, second + 1, f"second {second} he shoots"] for second in range(120)]
        games.append({"video": name, "title": name, "content": content})
    metadata = made_data.lines(tmp_path / "metadata.jsonl", games)
    windows = [
        {**game, "content": game["content"][start : start + 40]} for game in games for start in (0, 40, 80)
    ]
    scored = made_data.lines(tmp_path / "clips.jsonl", windows)
    data = [str(metadata), "--clips", str(scored), "--videos", str(tmp_path), "--setting", "chunked"]
    return Case(
        ["bench", "commentary", "generate", *data, "--model", str(checkpoint), *MINUTE, "--greedy", "--out"],
        lambda folder: len(lines(folder)),
        lambda folder: (folder / "results.jsonl").read_bytes(),
        6,
    )


def arena(checkpoint: Path) -> Case:
    """8 matches of half a minute."""
    plan = ["--matches", "8", "--minutes", "0.5", "--model", str(checkpoint), *MINUTE]
    return Case(
        ["bench", "arena", *plan, "--out"],
        lambda folder: len(lines(folder)),
        lambda folder: sorted((line["seed"], tuple(line["said"])) for line in lines(folder)),
        8,
    )


def begin(case: Case, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "svlm_cli", *case.arguments, str(folder), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("what", ["align", "commentary", "arena"])
def test_a_node_that_is_killed_changes_nothing(
    what: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make_video: Callable[..., Path],
    checkpoint: Path,
) -> None:
    if not request.config.getoption("--whole"):
        pytest.skip("a case of --whole")
    make = {
        "align": lambda: clips(tmp_path),
        "commentary": lambda: commentary(tmp_path, checkpoint, make_video),
        "arena": lambda: arena(checkpoint),
    }
    case, here, there = make[what](), tmp_path / "here", tmp_path / "there"
    nodes = request.getfixturevalue("cluster")
    alone = begin(case, here)
    told = alone.communicate(timeout=300)[1]
    assert alone.returncode == 0, told
    shared = begin(case, there, "--on", f"ray:{nodes.address}")
    deadline = time.monotonic() + 200
    while case.num_done(there) < 1 and shared.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert case.num_done(there) < case.num, "it was done before a node could be killed"
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    said, told = shared.communicate(timeout=300)
    nodes.add_node(**NODE)
    assert "raylet" not in said
    assert shared.returncode == 0, told
    assert "begins again" in told
    assert case.num_done(there) == case.num_done(here) == case.num
    assert case.result(there) == case.result(here)
    assert not [path for path in there.rglob(".*") if path.suffix == ".lock"]
    assert not (there / "partial").exists()


def test_without_ray_a_line_says_how_to_get_it(tmp_path: Path) -> None:
    """A finder that knows no Ray stands in for an environment without it."""
    script = """
import sys
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, *more: None if name == "ray" else find(name, *more)
from svlm_cli.__main__ import main
main()
"""
    for command in (["align", str(tmp_path)], ["fetch", "arena:soccer"], ["bench", "arena"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *command, "--on", "ray"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert "pip install ray" in line
    assert list(tmp_path.iterdir()) == []
