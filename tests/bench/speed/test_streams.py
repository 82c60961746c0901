"""``svlm bench fps --streams``: several streams beside the same ones alone."""

from __future__ import annotations

import json

from svlm_cli.cli import run

SMALL = ("--seconds", "6", "--vision-window", "2", "--rounds", "2", "--max-new-tokens", "3", "--threads", "1")


def bench(tmp_path, *options: str) -> int:
    source = "arena:soccer,seed=2,minutes=1"
    return run(["bench", "fps", source, *SMALL, *options, "--out", str(tmp_path / "out"), "--json"])


def test_streams_are_measured_and_kept(tmp_path, capsys) -> None:
    assert bench(tmp_path, "--streams", "2", "1") == 0
    first = json.loads(capsys.readouterr().out)
    assert [each["streams"] for each in first["runs"]] == [1, 2]
    for each in first["runs"]:
        assert each["alone_streams"] == each["streams"]
        assert each["words_per_step"] == each["alone_words_per_step"], "the same words either way"
        assert each["steps"] == 2
        assert 0 < each["step_p50_seconds"] <= each["step_p95_seconds"] <= each["step_p99_seconds"]
        both = each["cpu_seconds_per_stream_second"], each["alone_cpu_seconds_per_stream_second"]
        assert abs(each["ratio_to_one"] - both[0] / both[1]) < 1e-4
        assert each["cache_bytes_per_channel"] > 100_000
    assert bench(tmp_path, "--streams", "1", "2", "3") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["runs"][:2] == first["runs"], "what is there is not measured again"
    assert again["runs"][2]["streams"] == 3
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == again
    assert "| 3 |" in (tmp_path / "out" / "report.md").read_text()


def test_what_does_not_go_together(tmp_path, capsys) -> None:
    for options, told in (
        (["7"], "unexpected extra argument (7)"),
        (["--streams", "2", "--find-max-fps"], "--streams goes with one policy"),
        (["--streams", "0"], "--streams"),
        (["--streams", "1", "--seconds", "3", "--vision-window", "3"], "--seconds must be at least"),
    ):
        assert bench(tmp_path, *options) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "summary.json").exists()
