"""``svlm bench arena`` from outside, over a narrator with faults (fake_bench.py), and over a real model."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import typer
from PIL import Image

from svlm_cli.bench.arena.scored import LABELS
from svlm_cli.cli import app, run
from svlm_cli.commands.bench.command import EXAMPLES
from tests.bench import fake_bench
from tests.commands.running import ROOT, environment, error_line
from tests.trust.forked import forked

Bench = Callable[..., "Done"]
SHIPPED_GRID = ROOT / "recipes" / "bench_arena_grid.yaml"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    """The command line in this process, the narrator in place of a model."""

    def call(*arguments: str) -> Done:
        code = run(["bench", "arena", *arguments])
        return Done(code, *capsys.readouterr())

    with fake_bench.narrating():
        yield call


def results(folder: Path) -> list[dict[str, object]]:
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition: Callable[[], object], process: BaseProcess) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_narrator_gets_full_marks(bench: Bench, tmp_path: Path, drawn: None) -> None:
    done = bench("--matches", "2", "--minutes", "12", "--json", "--out", str(tmp_path / "new" / "out"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    folder = tmp_path / "new" / "out"
    assert json.loads((folder / "summary.json").read_text()) == document
    (row,) = document["runs"]
    assert (row["policy"], row["num_matches"], row["first_seed"], row["seconds_per_match"]) == (
        "streaming",
        2,
        0,
        720,
    )
    assert {each["percent"] for each in row["scores"].values() if each["num"]} == {100.0}
    assert row["scores"]["goal_score"]["num"] > 2
    assert row["decay"]["event_f1"]["change"]["percent"] == 0
    assert [minute["event_f1"] for minute in row["minutes"]] == [100.0] * 12
    assert [line["seed"] for line in results(folder)] == [0, 1]
    for name in ("quality.png", "scores.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 150
    assert sorted(path.name for path in folder.iterdir()) == [
        "quality.png",
        "report.md",
        "results.jsonl",
        "scores.png",
        "summary.json",
    ]


def test_the_shipped_grid_makes_one_table(bench: Bench, tmp_path: Path) -> None:
    arguments = ("--grid", str(SHIPPED_GRID), "--matches", "1", "--minutes", "16", "--out", str(tmp_path))
    done = bench(*arguments, "--quiet")
    assert done.returncode == 0
    assert done.stderr == ""
    figures, bars = done.stdout.split("\n\n")
    header, _, *rows = ([cell.strip() for cell in line.split("|")] for line in figures.splitlines())
    assert len(bars.splitlines()) == 2 + 8
    assert all(line.endswith("| – |") for line in bars.splitlines()[2:])  # a match is too few
    table = {row[1]: dict(zip(header, row, strict=True)) for row in rows}
    assert len(table) == 12
    for row in table.values():
        assert all(row[name] for name in ("protocol", "model", "FPS", "policy", "windows", "seeds"))
    assert table["no sink"]["referee"].startswith("0.00")
    assert table["no text window"]["score lines"].split()[0] != "100.00"
    assert table["blank frames"]["recall"].startswith("0.00")
    assert table["blank frames"]["team name"] == "–"
    assert float(table["window"]["team name"].split()[0]) < 50
    assert table["recompute"]["full F1"].startswith("100.00")
    assert done.stdout.strip() in (tmp_path / "report.md").read_text()

    again = bench(*arguments)
    assert again.stdout == done.stdout
    assert "12 matches, 12 already there" in again.stderr


def test_more_matches_of_the_same_go_on(bench: Bench, tmp_path: Path) -> None:
    bench("--matches", "1", "--minutes", "1", "--out", str(tmp_path))
    more = bench("--matches", "2", "--minutes", "1", "--out", str(tmp_path), "--verbose")
    talk = more.stderr.splitlines()
    assert talk[0] == "narrator on cpu (float32): 2 matches, 1 already there"
    assert len(talk) == 2
    assert talk[1].startswith("streaming, seed 1: event F1 100.00 %, full F1 100.00 %, team name 100.00 %")
    path = tmp_path / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(lines)))  # as workers may end
    bench("--matches", "2", "--minutes", "1", "--out", str(tmp_path))
    assert path.read_bytes().splitlines(keepends=True) == lines
    other = bench("--matches", "2", "--minutes", "1", "--out", str(tmp_path), "--sink", "7")
    assert "already there" not in other.stderr
    renewed = bench("--matches", "2", "--minutes", "1", "--out", str(tmp_path), "--model", "retrained")
    assert "already there" not in renewed.stderr
    assert len(results(tmp_path)) == 6


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_killed_and_run_again_completes(
    bench: Bench, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    arguments = ("--matches", "3", "--minutes", "0.5", "--out", str(tmp_path))
    process = forked(fake_bench.run_slowly, ["bench", "arena", *arguments])
    wait_for(lambda: results(tmp_path), process)
    os.kill(process.pid, sign)
    process.join()
    assert process.exitcode == code
    num_whole = len(results(tmp_path))
    assert 1 <= num_whole < 3
    assert not (tmp_path / "summary.json").exists()
    before = (tmp_path / "results.jsonl").read_text()
    done = bench(*arguments)
    assert done.returncode == 0, done.stderr
    assert f"3 matches, {num_whole} already there" in done.stderr
    assert (tmp_path / "results.jsonl").read_text().startswith(before)
    assert [line["seed"] for line in results(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seed", "1000000"], "not all unseen"),
        (["--seed", "9990"], "--seed may be 0 to 9980"),
        (["--matches", "0"], "--matches"),
        (["--minutes", "0"], "--minutes"),
        (["--minutes", "nan"], "--minutes"),
        (["--fps", "3"], "even whole number"),
        (["--polcy", "full"], "did you mean --policy?"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_wrong_usage_is_2_and_one_line(
    bench: Bench, arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = bench(*arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert expected in error_line(done)
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_failures_are_1_and_one_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (["--grid", str(tmp_path / "none.yaml")], ["--out", str(tmp_path / "file")]):
        done = bench(*arguments)
        assert done.returncode == 1
        assert str(tmp_path) in error_line(done)


def test_scoring_needs_no_torch() -> None:
    script = (
        "import sys, svlm_cli.bench.arena.score, svlm_cli.bench.arena.summary, svlm_cli.bench.common.grid; "
        "print({'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_real_model_for_a_minute(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "arena", "--model", str(checkpoint), "--device", "cpu", "--matches", "1"]
    arguments += ["--minutes", "1", "--max-new-tokens", "2", "--vision-window", "4", "--rounds", "4"]
    assert run([*arguments, "--json", "--out", str(tmp_path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["scores"]["event_recall"]["num"] > 5
    assert row["realtime_factor"] > 0
    (line,) = results(tmp_path)
    assert line["seconds"] == 60
    assert line["said"]


def test_workers_say_what_one_process_says(checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["bench", "arena", "--model", str(checkpoint), "--device", "cpu", "--matches", "2", "--quiet"]
    arguments += ["--minutes", "0.05", "--max-new-tokens", "4"]
    assert run([*arguments, "--out", str(tmp_path / "one")]) == 0
    assert run([*arguments, "--out", str(tmp_path / "two"), "--workers", "2"]) == 0
    one, two = ({line["seed"]: line["said"] for line in results(tmp_path / name)} for name in ("one", "two"))
    assert one == two
    assert set(one) == {0, 1}


@pytest.mark.parametrize("line", [line for line in EXAMPLES.splitlines() if line.startswith("svlm ")])
def test_examples_run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(ROOT)
    short = ("--matches", "1", "--minutes", "0.05", "--workers", "1", "--out", str(tmp_path))
    done = bench(*shlex.split(line)[3:], *short)
    assert done.returncode == 0, done.stderr


def leaves(group: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Every command below a group, by its name."""
    found: dict[tuple[str, ...], object] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            found |= leaves(command, (*path, name))
        else:
            found[(*path, name)] = command
    return found


def test_every_option_has_help_and_a_default() -> None:
    found = leaves(typer.main.get_command(app).commands["bench"])
    assert {path[0] for path in found} >= {"arena", "commentary", "livesports", "ovo", "longvideo", "report"}
    for path, command in found.items():
        for parameter in command.params:  # type: ignore[attr-defined]
            assert parameter.help, (path, parameter.opts)
            stated = parameter.default is not None or isinstance(parameter.show_default, str)
            assert parameter.required or stated, (path, parameter.opts)


def test_help_of_every_benchmark_imports_nothing_heavy() -> None:
    paths = sorted(leaves(typer.main.get_command(app).commands["bench"]))
    assert len(paths) > 10
    script = (
        "import sys; from svlm_cli.cli import run\n"
        "heavy = {'torch', 'transformers', 'numpy', 'matplotlib', 'yaml', 'PIL'}\n"
        f"for path in {paths!r}:\n"
        "    assert run(['bench', *path, '--help']) == 0\n"
        "    assert not heavy & set(sys.modules), path\n"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment(), check=True)


def test_the_page_names_every_column() -> None:
    page = (ROOT / "docs" / "bench.md").read_text()
    for name, label in LABELS.items():
        assert f"{label} (`{name}`)" in page
