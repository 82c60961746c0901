"""A folder keeps the figures of one work: nothing is overwritten by another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svlm_cli.bench.common.intervals import Bootstrap, Ratio
from svlm_cli.bench.common.records import claim_folder
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.cli import run
from svlm_cli.errors import OutputError
from tests.bench import made_data
from tests.data.fake_llm import Llm, serve_llm


def votes(path: Path) -> Path:
    return made_data.lines(path, [{"video_event_id": "v_1", "ab_winner": "x", "ba_winner": "y"}])


def test_other_answers_do_not_overwrite(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    for name, reply in (("a", "A"), ("b", "B")):
        item = {"id": 1, "task": "EPM", "ground_truth": "A", "response": reply}
        (tmp_path / f"{name}.json").write_text(json.dumps({"backward": [item]}))
    ours = ["bench", "ovo", "score", str(tmp_path / "a.json"), "--out", str(out)]
    assert run(ours) == 0
    before = (out / "summary.json").read_bytes()
    assert run(ours) == 0, "the same work"
    for other in (
        ["ovo", "score", str(tmp_path / "b.json")],
        ["livesports", "score", "--votes", str(votes(tmp_path / "v"))],
    ):
        assert run(["bench", *other, "--out", str(out)]) == 1
        assert "choose another --out" in capsys.readouterr().err
    assert (out / "summary.json").read_bytes() == before


def test_figures_that_came_meanwhile_are_not_overwritten(tmp_path: Path) -> None:
    """Two that score other inputs into one folder, which neither had used."""
    row = Row("ours", "p", {}, {"s": Bootstrap(1).estimate([Ratio(1, 1)])})
    one, other = (Report("ovo", "T", [row], {"s": "s"}, more={"work": work}) for work in ("one", "other"))
    one.write(tmp_path)
    before = (tmp_path / "summary.json").read_bytes()
    with pytest.raises(OutputError, match="other inputs"):
        other.write(tmp_path)
    with claim_folder(tmp_path), pytest.raises(OutputError, match="is being written by process"):
        one.write(tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == before


@pytest.mark.parametrize("more", [["--judge", "other"], ["--seed", "7"]])
def test_another_judge_is_refused_before_it_is_paid(tmp_path: Path, capsys, more: list[str]) -> None:
    metadata, clips = made_data.metadata(tmp_path)
    ours, theirs = (made_data.predictions(tmp_path / f"{name}.jsonl", name) for name in ("ours", "theirs"))
    asked = ["bench", "commentary", "score", str(ours), str(theirs), "--metadata", str(metadata)]
    asked += ["--clips", str(clips), "--out", str(tmp_path / "out")]
    with serve_llm(Llm(respond=lambda _: (200, "A"))) as llm:
        asked += ["--base-url", llm.address]
        assert run(asked) == 0
        assert run([*asked, *more]) == 1
        assert len(llm.asked) == 6
    assert "another judge" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["arena", "fps"])
def test_the_figures_of_another_benchmark_are_not_written_over(name: str, tmp_path: Path, capsys) -> None:
    figures = '{"benchmark": "ovo", "runs": []}'
    (tmp_path / "summary.json").write_text(figures)
    more = ["arena:soccer,seed=1"] if name == "fps" else []
    assert run(["bench", name, *more, "--out", str(tmp_path)]) == 1
    assert "figures of another benchmark: 'ovo'" in capsys.readouterr().err
    assert (tmp_path / "summary.json").read_text() == figures
