"""Inf-Streams-Eval: formats, windows, and every way to commentate from outside."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.bench.commentary import speak
from svlm_cli.bench.commentary.games import cut_windows, load_games, load_predictions, load_windows, sport_of
from svlm_cli.bench.commentary.pieces import Said
from svlm_cli.bench.commentary.speak import Partial
from svlm_cli.cli import run
from svlm_cli.errors import SourceError
from tests.bench import made_data
from tests.commands.running import ROOT
from tests.data.fake_llm import Llm, serve_llm
from tests.trust.forked import forked

SMALL = ["--max-new-tokens", "3", "--max-pixels", "20000", "--device", "cpu"]


@pytest.fixture
def data(tmp_path: Path, make_video) -> list[str]:
    metadata, clips = made_data.metadata(tmp_path)
    folder = made_data.videos(tmp_path, make_video)
    return [str(metadata), "--clips", str(clips), "--videos", str(folder)]


def generate(data: list[str], out: Path, *more: str) -> list[str]:
    return ["bench", "commentary", "generate", *data, "--out", str(out), *more]


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_windows_and_their_text(tmp_path: Path) -> None:
    metadata, clips = made_data.metadata(tmp_path)
    games = load_games(metadata)
    windows = load_windows(clips, games)
    assert [window.id for window in windows] == [
        "cup_final.mp4 2-6",
        "cup_final.mp4 6-10",
        "nba_night.mp4 2-6",
    ]
    assert [window.game.sport for window in windows] == ["soccer", "soccer", "basketball"]
    assert [window.part for window in windows] == [2, 4, 3]  # middles 4 and 8 of 12, 4 of 10
    (theirs,) = load_predictions(made_data.predictions(tmp_path / "p.jsonl", "so"))
    # start < end of the words <= end
    assert [theirs.text_of(window) for window in windows] == [
        "so 2 so 3 so 4 so 5",
        "so 6 so 7 so 8 so 9",
        "so 2 so 3 so 4 so 5",
    ]


def test_windows_that_were_not_commentated_have_no_text(tmp_path: Path) -> None:
    """Silence in a window that was streamed is a text; a window that was not is none, whole or in part."""
    metadata, clips = made_data.metadata(tmp_path)
    windows = load_windows(clips, load_games(metadata))
    line = {"video": "cup_final.mp4", "run": "r", "items": []}
    path = made_data.lines(
        tmp_path / "p.jsonl",
        [line | {"chunk_start": 0, "chunk_end": 6.0}, line | {"chunk_start": 6.0, "chunk_end": 8.0}],
    )
    (found,) = load_predictions(path)
    assert [found.text_of(window) for window in windows] == ["", None, None]
    made_data.lines(path, [line | {"fingerprint": "a"}, line | {"fingerprint": "b"}])
    assert [each.name for each in load_predictions(path)] == ["r", "r (2)"], "two settings are two runs"


def test_windows_by_the_papers_rule(tmp_path: Path) -> None:
    """100 s with at least 200 words; the second stretch of this game is one word short."""
    words = [(second, "one two") for second in range(100)] + [
        (second, "one two") for second in range(100, 200)
    ]
    content = [[second, second + 1, text] for second, text in words]
    content[150][2] = "one"
    content += [[second, second + 1, "one two three"] for second in range(200, 299)]
    path = made_data.lines(tmp_path / "m.jsonl", [{"video": "v.mp4", "title": "", "content": content}])
    found = cut_windows(load_games(path))
    assert [(window.start_seconds, window.end_seconds) for window in found] == [(0, 100)]
    assert cut_windows(load_games(path), 199.0)[0].start_seconds == 199


@pytest.mark.parametrize(
    ("record", "sport"),
    [
        ({"video": "NBA/x.mp4"}, "basketball"),
        ({"video": "x.mp4", "title": "Super Bowl LIV"}, "american football"),
        ({"video": "x.mp4", "title": "FIFA World Cup final"}, "soccer"),
        ({"video": "nhl_2019.mp4", "title": ""}, "ice hockey"),
        ({"video": "x.mp4", "title": "World Series, game 7"}, "baseball"),
        ({"video": "x.mp4", "title": "College Football Playoff"}, "american football"),
        ({"video": "ncaa_football.mp4", "title": ""}, "american football"),
        ({"video": "x.mp4", "title": "FIBA World Cup"}, "basketball"),
        ({"video": "x.mp4", "title": "Australian football grand final"}, "unknown"),
        ({"video": "unbalanced.mp4", "title": "?"}, "unknown"),
        ({"video": "nba.mp4", "sport": "Table_Tennis"}, "table tennis"),
    ],
)
def test_sports(record: dict[str, str], sport: str) -> None:
    assert sport_of(record) == sport


@pytest.mark.parametrize(
    "line", ['{"video": "v"}', "[]", '{"video": "v", "content": []}', '{"video": "v", "content": [[1]]}']
)
def test_other_metadata_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(SourceError, match="line 1"):
        load_games(tmp_path / "m.jsonl")


def test_infinite_and_chunked(checkpoint: Path, data: list[str], tmp_path: Path, capsys) -> None:
    own = ["--model", str(checkpoint), *SMALL]
    assert run(generate(data, tmp_path / "infinite", "--start", "1", *own)) == 0
    lines = results(tmp_path / "infinite")
    assert [(line["video"], line["chunk_start"], line["chunk_end"]) for line in lines] == [
        ("cup_final.mp4", 1.0, 10.0),
        ("nba_night.mp4", 1.0, 6.0),
    ]
    for line in lines:
        times = [(item["start_time"], item["end_time"]) for item in line["items"]]
        assert all(line["chunk_start"] <= start < end <= line["chunk_end"] for start, end in times)
        assert len(times) >= 3
        assert all(item["response"] for item in line["items"])
    assert not (tmp_path / "infinite" / "partial").exists()
    more = ["--setting", "chunked", "--previous", "none", *own]
    assert run(generate(data, tmp_path / "chunked", *more)) == 0
    lines = results(tmp_path / "chunked")
    assert [(line["chunk_start"], line["chunk_end"]) for line in lines] == [(2, 6), (6, 10), (2, 6)]
    assert "told nothing before" in lines[0]["facts"]["protocol"]
    assert run(generate(data, tmp_path / "pieces", "--chunk-seconds", "2.5", *more)) == 0
    lines = results(tmp_path / "pieces")
    assert [(line["chunk_start"], line["chunk_end"]) for line in lines[:4]] == [
        (2, 4.5),
        (4.5, 7),
        (7, 9.5),
        (9.5, 10),
    ]
    capsys.readouterr()
    assert run(generate(data, tmp_path / "chunked", *more)) == 0
    assert "3 pieces, 3 already there" in capsys.readouterr().err


def test_the_previous_text_is_the_reference_up_to_the_start(data, checkpoint, tmp_path, monkeypatch) -> None:
    from svlm_cli.stream import loop

    told = []
    stream = loop.stream_video

    def listen(model, source, settings, *more, **named):
        told.append((settings.title, settings.previous_text, settings.start, settings.duration))
        return stream(model, source, settings, *more, **named)

    monkeypatch.setattr(loop, "stream_video", listen)
    run(generate(data, tmp_path / "o", "--start", "2", "--model", str(checkpoint), *SMALL))
    assert told[0] == ("Cup final", "second 0 he shoots second 1 he shoots", 2.0, 8.0)


def test_a_grid_is_run_judged_and_printed_beside_the_paper(data, checkpoint, tmp_path, capsys) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "runs:\n- {name: small, vision_window: 2, rounds: 2, paper: 66.08}\n"
        "- {name: pieces, setting: chunked, previous: none, chunk_seconds: 4, policy: full}\n"
    )
    out = tmp_path / "grid"
    arguments = generate(data, out, "--grid", str(grid), "--start", "1", "--model", str(checkpoint), *SMALL)
    assert run(arguments) == 0
    assert f"--metadata {data[0]} --clips {data[2]} --start 1\n" in capsys.readouterr().out
    assert [line["run"] for line in results(out)] == ["small"] * 2 + ["pieces"] * 3
    rival = made_data.predictions(tmp_path / "rival.jsonl", "theirs")
    score = ["bench", "commentary", "score", str(out), str(rival), "--metadata", data[0], "--clips", data[2]]
    capsys.readouterr()
    with serve_llm(Llm(respond=lambda _: (200, "A"))) as llm:
        assert run([*score, "--base-url", llm.address, "--out", str(tmp_path / "judged")]) == 0
        assert len(llm.asked) == 12
    header, _, *rows = (line for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    titles = [cell.strip() for cell in header.split("|")[1:-1]]
    table = [dict(zip(titles, (cell.strip() for cell in row.split("|")[1:-1]), strict=True)) for row in rows]
    assert [(row["run"], row["paper"]) for row in table] == [("small", "66.08"), ("pieces", "–")]
    assert table[0]["memory"] == "streaming: S 512 / T 512, V 2 s, R 2"
    assert table[1]["memory"] == "full: everything"
    assert "pieces of 4 s" in table[1]["protocol"]
    assert all(row["win rate"].startswith("50.00") for row in table)
    report = (tmp_path / "judged" / "report.md").read_text()
    assert "| soccer |" in report
    assert "| fifth 4 |" in report
    for part in ([], ["--limit", "1"], ["--limit", "2"]):
        assert run([*score, "--dry-run", *part]) == 0
    folders = re.findall(r"figures and plots go to (\S+)", capsys.readouterr().err)
    assert len(set(folders)) == 3, "each part has its own"


@pytest.mark.parametrize(
    "text",
    [
        "runs:\n- {name: a, sink: opening}",
        "runs:\n- {name: a, setting: endless}",
        "runs:\n- {name: a, chunk_seconds: 0}",
        "runs:\n- {name: a, frames: blank}",
    ],
)
def test_a_grid_that_does_not_fit(data, tmp_path, capsys, text: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    assert run(generate(data, tmp_path / "o", "--grid", str(tmp_path / "grid.yaml"), "--start", "1")) == 2
    assert "bench_commentary_grid.yaml" in capsys.readouterr().err


def test_the_shipped_grid_fits(data, tmp_path) -> None:
    from svlm_cli.bench.commentary import infstreams as bench
    from svlm_cli.bench.common.grid import load_entries
    from svlm_cli.settings import StreamSettings

    games = load_games(Path(data[0]))
    windows = load_windows(Path(data[2]), games)
    path = ROOT / "recipes" / "bench_commentary_grid.yaml"
    task = bench.Task(start_seconds=1)
    runs = load_entries(
        path,
        StreamSettings(),
        lambda entry: bench.piece_run(entry, task, games, windows, tmp_path),
        bench.GRID_KEYS,
        "",
    )
    papers = {run.name: run.paper for run in runs}
    assert papers["streaming"] == "66.18"
    assert papers["native positions"] == "25.09"
    assert papers["full attention"] == "3.89"
    assert len(runs) >= 12
    assert all(run.paper for run in runs)


def run_slowly(arguments: list[str]) -> None:
    """``svlm``, which saves after each second and takes half a one for it; the whole of a process."""

    add = Partial.add
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speak, "SAVE_EVERY_SECONDS", 0.0)
        patch.setattr(Partial, "add", lambda self, said: (add(self, said), time.sleep(0.5)))
        run(arguments)


def test_a_killed_stream_goes_on_where_it_was_saved(checkpoint, data, tmp_path) -> None:
    """The words are those of a stream that was never stopped, and what was saved is not streamed again."""
    arguments = ["--start", "1", "--model", str(checkpoint), *SMALL, "--threads", "1"]
    assert run(generate(data, tmp_path / "whole", *arguments)) == 0
    cut = tmp_path / "cut"
    process = forked(run_slowly, generate(data, cut, *arguments))
    deadline = time.monotonic() + 60

    def words() -> list[str]:
        return [line for file in (cut / "partial").glob("*.jsonl") for line in file.read_text().splitlines()]

    while len(words()) < 4 or not list((cut / "partial").glob("*.state")):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.join()
    begun = []
    from svlm_cli.stream.state import SavedState

    restore = SavedState.restore
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            SavedState, "restore", lambda self, *of, **how: begun.append(self) or restore(self, *of, **how)
        )
        assert run(generate(data, cut, *arguments)) == 0
    assert begun[0].reached_seconds >= 3
    assert (cut / "results.jsonl").read_bytes() == (tmp_path / "whole" / "results.jsonl").read_bytes()
    assert not (cut / "partial").exists()


def test_words_are_on_the_disk_before_the_state_that_counts_on_them(
    tmp_path: Path, forced: list[Path]
) -> None:
    with Partial(tmp_path, "key") as partial:
        assert partial.saved() is None
        partial.add(Said(0.0, 1.0, "he shoots"))
        ((path, size),) = partial.lengths().items()
        assert forced[-2:] == [Path(path), Path(path).parent]
        assert Path(path).stat().st_size == size > 0


def test_the_rival_behind_an_address(data, tmp_path, capsys) -> None:
    out = tmp_path / "rival"
    arguments = generate(data, out, "--api", "fake", "--preset", "gpt-4o-mini", "--price", "1,2")
    with serve_llm(Llm(respond=lambda _: (200, "He shoots,\nhe scores."))) as llm:
        arguments += ["--base-url", llm.address]
        assert run([*arguments, "--dry-run", "--json"]) == 0
        (plan,) = json.loads(capsys.readouterr().out)["plans"]
        assert (plan["calls"], plan["dollars"] > 0) == (3, True)
        assert not llm.asked
        assert not out.exists()
        assert run([*arguments, "--workers", "1"]) == 0
        content = llm.asked[0]["messages"][0]["content"]
        assert run(arguments) == 0
        assert len(llm.asked) == 3
    assert len(content) == 2, "4 s at 0.25 FPS are one picture, and the text"
    assert content[-1]["text"].startswith('Describe the video.\nThe video is titled "Cup final".')
    assert "before" not in content[-1]["text"]
    (first, *_) = results(out)
    assert first["items"] == [{"response": "He shoots, he scores.", "start_time": 2, "end_time": 6}]
    assert first["facts"]["frames"] == "0.25 FPS"
    assert first["facts"]["protocol"].endswith("preset gpt-4o-mini")
    assert (first["prompt_tokens"], first["completion_tokens"]) == (10, 5)
    (found,) = load_predictions(out)
    assert found.name == "fake"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--price", "1,2"], "--price would do nothing without --api MODEL"),
        (["--api", "x", "--greedy"], "--greedy would do nothing with --api"),
        (["--chunk-seconds", "2"], "--chunk-seconds would do nothing with --setting infinite"),
        (["--api", "x", "--preset", "gpt-4o-mini", "--query", "y"], "--query would do nothing with --preset"),
        (["--grid", "g", "--name", "y"], "--grid does not go with --name"),
        (["--price", "cheap"], "two prices"),
        (["--start", "1000"], "begin earlier"),
    ],
)
def test_wrong_usage_is_2_and_one_line(data, tmp_path, capsys, more: list[str], expected: str) -> None:
    assert run(generate(data, tmp_path / "out", *more)) == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_examples_are_of_this_form() -> None:
    from svlm_cli.commands.bench import commentary as bench_commentary
    from svlm_cli.commands.bench import livesports as bench_livesports
    from svlm_cli.commands.bench import longvideo as bench_longvideo
    from svlm_cli.commands.bench import ovo as bench_ovo
    from svlm_cli.commands.bench import report as bench_report

    for module in (bench_commentary, bench_livesports, bench_longvideo, bench_ovo):
        for text in (module.GENERATE_EXAMPLES, module.SCORE_EXAMPLES):
            for line in text.splitlines()[1:]:
                assert line.startswith("# needs: ") or shlex.split(line)[:2] == ["svlm", "bench"]
    assert "svlm bench report" in bench_report.EXAMPLES
