"""Runs of several folders side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from svlm_cli.bench.common.intervals import Estimate
from svlm_cli.bench.common.tables import Report, Row, figure_text
from svlm_cli.cli import run


def summary(folder: Path, run_name: str, percent: float, benchmark: str = "ovo") -> Path:
    row = Row(
        run_name,
        "official, own words",
        {"model": "m", "seed": "3"},
        {"total": Estimate(percent, None, None, 9)},
    )
    Report(benchmark, "T", [row], {"total": "total"}).write(folder)
    return folder


def test_runs_of_a_benchmark_share_a_table(tmp_path: Path, capsys, drawn: None) -> None:
    folders = [summary(tmp_path / "a", "ours", 61.5), summary(tmp_path / "b", "theirs", 40.0)]
    folders.append(summary(tmp_path / "c", "judged", 12.0, "commentary"))
    speed = tmp_path / "d"
    speed.mkdir()
    rows = [
        {
            "run": "streaming",
            "protocol": "end to end, 8 FPS",
            "fps": 8,
            "paper": "0.05 s/token",
            "scores": {"token": {"value": 0.0512, "unit": "s"}, "memory": {"value": None, "unit": "GiB"}},
        }
    ]
    document = {
        "benchmark": "fps",
        "version": "0",
        "columns": {"token": "per token", "memory": "memory"},
        "runs": rows,
    }
    (speed / "summary.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    assert run(["bench", "report", *map(str, folders), str(speed), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.count("| folder | run | protocol |") == 3
    lines = [line for line in told.splitlines() if line.startswith(f"| {tmp_path}")]
    assert lines[0].endswith("| ours | official, own words | m | 3 | 61.50 |")
    assert lines[1].endswith("| theirs | official, own words | m | 3 | 40.00 |")
    assert lines[3].endswith("| streaming | end to end, 8 FPS | 8 | 0.0512 s | – | 0.05 s/token |")
    page = (out / "report.md").read_text()
    assert "![ovo](ovo.png)" in page
    assert "fps.png" not in page, "there is no percentage to draw"
    with Image.open(out / "ovo.png") as picture:
        assert picture.width > 300
    found = json.loads((out / "summary.json").read_text())["benchmarks"]
    assert [(each["benchmark"], len(each["runs"])) for each in found] == [
        ("ovo", 2),
        ("commentary", 1),
        ("fps", 1),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"benchmark": "x"}',
        '{"benchmark": "x", "runs": [{"run": "a", "scores": {}}]}',
        '{"benchmark": "x", "runs": [{"run": "a", "protocol": "p", "scores": 3}]}',
    ],
)
def test_a_folder_without_rows_is_refused(tmp_path: Path, capsys, content: str) -> None:
    if content:
        (tmp_path / "summary.json").write_text(content)
    assert run(["bench", "report", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_report_does_not_replace_what_it_reads(tmp_path: Path) -> None:
    folder = summary(tmp_path / "a", "ours", 1.0)
    before = (folder / "summary.json").read_bytes()
    assert run(["bench", "report", str(folder), "--out", str(folder)]) == 2
    assert (folder / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ({"percent": 66.18, "low": 60.0, "high": 70.5, "num": 3}, "66.18 [60.00, 70.50]"),
        ({"percent": None}, "–"),
        ({"value": 12, "unit": "GiB"}, "12 GiB"),
        ({"value": 1.5}, "1.5"),
        (None, "–"),
        ("x", "–"),
    ],
)
def test_figures(figure: object, text: str) -> None:
    assert figure_text(figure) == text


def test_votes_and_notes_come_along_and_a_folder_counts_once(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "a"
    row = Row(
        "ours", "p", {"votes": "32 of 40", "decoding": "greedy"}, {"total": Estimate(50.0, None, None, 9)}
    )
    Report("ovo", "T", [row], {"total": "total"}, notes=["Part of OVO-Bench only."]).write(folder)
    out = tmp_path / "out"
    assert run(["bench", "report", str(folder), f"{folder}/", "--out", str(out)]) == 0
    for told in (capsys.readouterr().out, (out / "report.md").read_text()):
        assert told.count("| ours |") == 1
        assert "| greedy | 32 of 40 |" in told
        assert f"{folder}: Part of OVO-Bench only." in told
    (found,) = json.loads((out / "summary.json").read_text())["benchmarks"]
    assert found["notes"] == [f"{folder}: Part of OVO-Bench only."]


@pytest.mark.parametrize("given", ["ours/summary.json", "theirs"])
def test_the_report_keeps_the_figures_of_any_benchmark(tmp_path: Path, capsys, given: str) -> None:
    figures = {"benchmark": "ovo", "runs": [{"run": "x", "protocol": "p", "scores": {}}]}
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "summary.json").write_text(json.dumps(figures))
    assert run(["bench", "report", str(tmp_path / given), "--out", str(tmp_path / "ours")]) == 1
    assert "ours holds the figures of a benchmark: 'ovo'" in capsys.readouterr().err
    assert json.loads((tmp_path / "ours" / "summary.json").read_text()) == figures
    assert not (tmp_path / "ours" / "report.md").exists()


@pytest.mark.parametrize("name", ["../../x", "a/b", "/x", "x" * 5000])
def test_a_benchmark_of_any_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    figure = {"percent": 50.0, "low": 40.0, "high": 60.0, "num": 9}
    row = {"run": "x", "protocol": "p", "scores": {"a": figure}}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "summary.json").write_text(json.dumps({"benchmark": name, "runs": [row]}))
    out = tmp_path / "deep" / "out"
    assert run(["bench", "report", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert [path.parent for path in tmp_path.rglob("*.png")] == [out]


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path: Path, drawn: None) -> None:
    names = ["My bench", "my-bench", "my_bench", "\u6d4b\u8bd5", "\u8a66\u9a13"]
    folders = [summary(tmp_path / str(n), "r", 10.0 * n, name) for n, name in enumerate(names, 1)]
    out = tmp_path / "out"
    assert run(["bench", "report", *map(str, folders), "--out", str(out)]) == 0
    page = (out / "report.md").read_text()
    pictures = [line.split("](")[1][:-1] for line in page.splitlines() if line.startswith("![")]
    assert len(set(pictures)) == len(names)
    assert {path.name for path in out.glob("*.png")} == set(pictures)
    assert len({(out / name).read_bytes() for name in pictures}) == len(names)


def test_what_others_published_stands_beside_the_runs_once(tmp_path: Path, capsys) -> None:
    theirs = Row("LiveCC", "published: p", {"source": "table 1"}, {"total": Estimate(59.8, None, None, 0)})
    own = Row("ours", "p", {}, {"total": Estimate(50.0, None, None, 9)})
    for name in "ab":
        Report("ovo", "T", [own], {"total": "total"}, published=[theirs]).write(tmp_path / name)
        assert "| LiveCC | published: p | table 1 | 59.80 |" in (tmp_path / name / "report.md").read_text()
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert run(["bench", "report", *folders, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert told.count("LiveCC") == 1
    (found,) = json.loads((tmp_path / "out" / "summary.json").read_text())["benchmarks"]
    assert (len(found["runs"]), len(found["published"])) == (2, 1)
