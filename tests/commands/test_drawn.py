"""Score tables on a terminal: what was found first, every figure whole, no line wider than the terminal."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from svlm_cli.bench.common.table import Table, tabled
from svlm_cli.commands.bench.drawn import show_found
from tests.commands.test_terminal import CONTROL


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def made(dice: random.Random, num_rows: int) -> Table:
    words = ("event", "recall", "score", "at", "goals", "時間", "real-time")
    num_facts, num_scores = dice.randint(0, 5), dice.randint(1, 14)

    def title() -> str:
        return " ".join(dice.choices(words, k=dice.randint(1, 4)))

    def figure() -> str:
        low, mid, high = sorted(dice.uniform(0, 100) for _ in range(3))
        return dice.choice(["–", f"{mid:.2f}", f"{mid:.2f} [{low:.2f}, {high:.2f}]"])

    shared = [title() for _ in range(num_facts)]
    rows = []
    for number in range(num_rows):
        facts = [fact if dice.random() < 0.7 else f"{fact} {number}" for fact in shared]
        rows.append((f"run {number} {title()}", *facts, *(figure() for _ in range(num_scores))))
    titles = ("run", *(f"fact {title()}" for _ in shared), *(title() for _ in range(num_scores)))
    return Table(titles, tuple(rows), tuple(range(1 + num_facts, len(titles))))


def drawn(parts: list[Table | str], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal()
    show_found(parts, out)
    return CONTROL.sub("", out.getvalue())


@pytest.mark.parametrize("seed", range(30))
def test_every_figure_is_there_whole_within_the_width(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    table = made(dice, dice.choice([1, 1, 2, 3, 4, 12]))
    width = dice.choice([60, 80, 80, 120])
    text = drawn([table], width, monkeypatch)
    assert max(map(cell_len, text.splitlines())) <= width
    for row in table.rows:
        for number in table.scores:
            assert row[number] in text
    letters = re.sub(r"\s", "", text)
    for number in set(range(1, len(table.titles))) - set(table.scores):
        values = {row[number] for row in table.rows}
        if len(values) == 1:  # said once, below what was found
            (value,) = values
            shown = re.sub(r"\s", "", f"{table.titles[number]}: {value}")
            assert letters.index(shown) > max(
                letters.index(re.sub(r"\s", "", table.rows[0][each])) for each in table.scores
            )


def test_one_run_is_a_line_for_each_score_and_the_setup_below(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(
        ("run", "protocol", "event F1", "goals"),
        (("streaming", "truth, greedy", "99.81 [99.60, 99.93]", "100.00"),),
        (3, 2),
    )
    lines = [line.rstrip() for line in drawn([table, "## Two", "a note"], 80, monkeypatch).splitlines()]
    assert lines[0].split() == ["run", "streaming"]
    assert [line.split(maxsplit=1)[0] for line in lines[2:4]] == ["goals", "event"]
    assert lines[3].endswith("99.81 [99.60, 99.93]")
    assert lines[5] == "protocol: truth, greedy"
    assert [line for line in lines[6:] if line] == ["Two", "a note"]


def test_a_pipe_gets_markdown_and_nothing_moves_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tabled([("run", str)], [], [("a|b", lambda each: each * 2), ("c", str)], ["x\x1b[2J"], ["c"])
    out = io.StringIO()
    show_found([table, "note"], out)
    assert out.getvalue() == (
        "| run | a\\|b | c |\n| --- | --- | --- |\n| x\\x1b[2J | x\\x1b[2Jx\\x1b[2J | x\\x1b[2J |\n\nnote\n"
    )
    text = drawn([table], 80, monkeypatch)
    assert "\x1b" not in text
    assert text.index("\nc ") < text.index("a|b")


def test_the_table_of_a_benchmark_on_a_terminal(tmp_path: Path) -> None:
    """``bench report`` over a made summary, through a pseudo-terminal of 80 columns."""
    import json

    from tests.commands.test_terminal import on_terminal

    figure = {"percent": 97.31, "low": 96.8, "high": 97.75, "num": 100}
    run = {"run": "ours", "protocol": "greedy", "model": "some", "fps": 8, "scores": {"f1": figure}}
    made_of = {"benchmark": "arena", "version": "0", "columns": {"f1": "event F1"}, "runs": [run]}
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "summary.json").write_text(json.dumps(made_of))
    out = tmp_path / "compared"
    shown, _, code = on_terminal("bench", "report", str(tmp_path / "one"), "-o", str(out), columns=80)
    assert code == 0
    plain = CONTROL.sub("", shown)
    assert "97.31 [96.80, 97.75]" in plain
    assert "| --- |" not in plain
    assert plain.index("event F1") < plain.index("protocol: greedy")
    assert max(len(line) for line in plain.splitlines()) <= 80
    assert "| --- |" in (out / "report.md").read_text()
