"""Runs of ``svlm chunk`` as they happen: killed, at once, over many videos; what is held out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.claims import claim
from svlm_cli.cli import run as svlm
from svlm_cli.data.chunks import chunking
from svlm_cli.data.chunks.chunk import ChunkFile, ChunkRule
from svlm_cli.data.chunks.chunking import chunk_folder
from svlm_cli.data.chunks.report import ChunkReport
from svlm_cli.data.words.transcript import TimedWord, Transcript, write_transcript
from svlm_cli.errors import OutputError

WORDS = Transcript(tuple(TimedWord(f"w{k}", k / 3, (k + 1) / 3) for k in range(3 * 120)))
NAMES = ("train_s12w24", "valid_s12w24")


def transcripts(folder: Path, num_videos: int, prefix: str = "v") -> Path:
    for k in range(num_videos):
        write_transcript(folder / f"{prefix}{k:04d}.json", WORDS)
    return folder


def run(folder: Path, dataset: Path, **more) -> ChunkReport:
    return chunk_folder(folder, dataset, ChunkRule(), check_videos=False, **more)


def files(dataset: Path) -> dict[str, bytes]:
    """All but the lock that a killed run has left."""
    inside = (path for path in dataset.iterdir() if path.is_file() and path.name != ".lock")
    return {path.name: path.read_bytes() for path in inside}


def videos(dataset: Path, name: str) -> set[str]:
    if not (dataset / f"{name}_with_seeks.jsonl").exists():
        return set()
    return {Path(chunk.video).stem for chunk in ChunkFile(dataset, name)}


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5])
def test_a_share_of_the_videos_is_held_out_whole(tmp_path: Path, share: float) -> None:
    report = run(transcripts(tmp_path / "t", 30), tmp_path / "set", valid_share=share)
    train, valid = (videos(tmp_path / "set", name) for name in NAMES)
    assert not train & valid
    assert len(train | valid) == 30
    assert len(valid) == int(share * 30 + 0.5) == report.splits[1].num_videos
    assert report.splits[0].num_chunks == 9 * len(train)  # none is split
    assert set(files(tmp_path / "set")) == {
        "report.json",
        *(
            f"{name}{end}"
            for name in NAMES[: 2 if valid else 1]
            for end in ("_seeks.jsonl", "_with_seeks.jsonl")
        ),
    }


@settings(max_examples=50)
@given(
    ids=st.sets(st.text(min_size=1), min_size=1, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    order=st.randoms(),
)
def test_the_choice_depends_on_ids_and_seed_alone(ids: set[str], share: float, seed: int, order) -> None:
    shuffled = sorted(ids)
    order.shuffle(shuffled)
    chosen = chunking._held_out(shuffled, share, seed)
    assert chosen == chunking._held_out(sorted(ids), share, seed)
    assert abs(len(chosen) - share * len(ids)) <= 0.5 + 1e-9
    wider = chunking._held_out(shuffled, min(1.0, share + 0.2), seed)
    assert chosen <= wider


def test_another_seed_holds_out_others() -> None:
    ids = [f"v{k}" for k in range(100)]
    choices = {tuple(sorted(chunking._held_out(ids, 0.1, seed))) for seed in range(5)}
    assert len(choices) == 5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_leaves_the_data_set(tmp_path: Path, how: signal.Signals) -> None:
    dataset = tmp_path / "set"
    run(transcripts(tmp_path / "old", 4, "old"), dataset, valid_share=0.5)
    before = files(dataset)
    many = transcripts(tmp_path / "t", 240)
    command = [
        sys.executable,
        "-m",
        "svlm_cli",
        "chunk",
        str(many),
        "--no-video-check",
        "--out",
        str(dataset),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        written = sum(path.stat().st_size for path in (dataset / ".chunk").glob("new/.*_with_seeks*"))
        if written > 200_000:
            break
        time.sleep(0.002)
    process.send_signal(how)
    _, talk = process.communicate()
    assert process.returncode == (-how if how == signal.SIGKILL else 130)
    assert b"Traceback" not in talk
    assert files(dataset) == before
    assert bool(list((dataset / ".chunk").glob("new/.*"))) == (how == signal.SIGKILL)
    report = run(many, dataset, valid_share=0.5)
    assert report.splits[1].num_videos == 120
    assert not (dataset / ".chunk" / "new").exists()


@pytest.mark.parametrize("fails_at", range(6))
def test_splits_of_two_runs_never_mix(tmp_path: Path, fails_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far a run comes in putting its files in place."""
    dataset = tmp_path / "set"
    folder = transcripts(tmp_path / "t", 10)
    run(folder, dataset, valid_share=0.5, seed=1)
    olds = [videos(dataset, name) for name in NAMES]
    real, done = Path.replace, 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal done
        if Path(target).parent == dataset:
            if done == fails_at:
                raise OSError(5, "Input/output error")
            done += 1
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    if fails_at < 5:
        with pytest.raises(OutputError, match=r"set cannot be written: Input/output error"):
            run(folder, dataset, valid_share=0.5, seed=2)
    else:
        run(folder, dataset, valid_share=0.5, seed=2)
    train, valid = (videos(dataset, name) for name in NAMES)
    assert not train & valid
    assert (train == olds[0]) == (fails_at == 0)
    assert (dataset / "report.json").exists() == (fails_at == 5)


def test_each_step_of_a_data_set_is_on_the_disk_before_the_next(
    tmp_path: Path, forced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tmp_path / "set"
    folder = transcripts(tmp_path / "t", 4)
    run(folder, dataset, valid_share=0.5, seed=1)
    for name in ("replace", "unlink"):
        real = getattr(Path, name)

        def step(path: Path, *more: Any, real: Any = real, **how: Any) -> Any:
            if dataset in (path.parent, *(Path(target).parent for target in more)) and path.name[0] != ".":
                forced.append(Path("step"))
            return real(path, *more, **how)

        monkeypatch.setattr(Path, name, step)
    forced.clear()
    run(folder, dataset, valid_share=0.5, seed=2)
    told = [each.name for each in forced if each in (Path("step"), dataset)]
    assert told == ["step", "set", "step", "step", "step", "set", *["step", "set"] * 5]


def test_two_runs_at_once(tmp_path: Path) -> None:
    folder = transcripts(tmp_path / "t", 2)
    run(folder, tmp_path / "set")
    before = files(tmp_path / "set")
    with (
        claim(tmp_path / "set", "it", inside=True),
        pytest.raises(OutputError, match=r"set is being written by process"),
    ):
        run(folder, tmp_path / "set", valid_share=0.5)
    assert files(tmp_path / "set") == before


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = transcripts(tmp_path / "t", 1)
    (tmp_path / "set").write_text("a file")
    with pytest.raises(OutputError, match="set cannot be written"):
        run(folder, tmp_path / "set")


def test_memory_does_not_grow_with_the_number_of_videos(tmp_path: Path) -> None:
    peaks = []
    for num_videos in (5, 5, 50):  # the first time modules are loaded
        folder = transcripts(tmp_path / str(num_videos), num_videos)
        tracemalloc.start()
        run(folder, tmp_path / "set")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 45 * 4_000  # its name; the words and chunks of one are 100 kB


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run(
        transcripts(tmp_path / "t", 4),
        tmp_path / "set",
        valid_share=0.5,
        on_progress=lambda *at: told.append(at),
    )
    assert told == [(k, 4) for k in range(4)]


def test_the_command_prints_what_the_report_holds(tmp_path: Path, capsys) -> None:
    transcripts(tmp_path / "t", 3)
    (tmp_path / "t" / "bad.json").write_text("{")
    command = ["chunk", str(tmp_path / "t"), "--no-video-check"]
    command += ["--out", str(tmp_path / "set"), "--format", "inf-stream"]
    assert svlm([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "set" / "report.json").read_text())
    assert svlm(command) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "train: 27 chunks of 3 videos, 0.18 h, 3.00 words/s, 0 % of seconds silent"
    assert "1 video (unreadable transcript): bad (" in out
    assert err == ""
    assert svlm([*command[:-1], "parquet"]) == 2
    assert "inf-stream" in capsys.readouterr().err
